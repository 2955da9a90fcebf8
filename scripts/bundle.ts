/** Makes the bundle by hand; the installation calls it, and `npm test` where it is out of date. */
import { fileURLToPath } from "node:url";
import { makeBundle } from "./bundle/make.ts";

makeBundle(fileURLToPath(new URL("..", import.meta.url)));
