/**
 * Makes image-1 and image-1.json. May be run again until format version 1 is released; from then on the image has to stay what
 * users have, and this is kept to show how it was made.
 *
 *     node test/golden/make-image-1.ts
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { numberedPages, writeImage } from "../../src/image/testing/raw-image.ts";
import { SAMPLE_PAGES, sampleMetadata } from "../../src/image/testing/sample.ts";

const metadata = sampleMetadata();
await writeImage(fileURLToPath(new URL("image-1", import.meta.url)), numberedPages(SAMPLE_PAGES), metadata);
writeFileSync(new URL("image-1.json", import.meta.url), `${JSON.stringify(metadata)}\n`);
