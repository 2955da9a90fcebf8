/** A range of addresses that no process of the image uses: there stands what makes the job again. */
import { CairnError } from "../base/errors.ts";
import { asRemoteAddress } from "../base/ids.ts";
import type { RemoteAddress } from "../base/ids.ts";
import type { ImageMetadata } from "../image/mod.ts";

const LOWEST = 0x10000n;
const HIGHEST = 0x7fff_0000_0000n;
/** Where programs without position-independent code, heaps and libraries seldom lie. */
const PREFERRED = 0x10_0000_0000n;
/** Room on both sides, for stacks that grow. */
const MARGIN = 0x20_0000n;

export function findArena(metadata: ImageMetadata, lengthBytes: number): RemoteAddress {
  const used = metadata.processes
    .flatMap((one) => one.alive?.mappings ?? [])
    .map((mapping) => ({ start: BigInt(mapping.start), end: BigInt(mapping.end) }))
    .sort((a, b) => (a.start < b.start ? -1 : 1));
  const length = BigInt(lengthBytes);
  for (const from of [PREFERRED, LOWEST]) {
    let candidate = from;
    for (const { start, end } of used) {
      if (end + MARGIN <= candidate) continue;
      if (start >= candidate + length + MARGIN) break;
      candidate = end + MARGIN;
    }
    if (candidate + length < HIGHEST) return asRemoteAddress(candidate);
  }
  throw new CairnError("unsupported", "Cannot restart: the job's processes leave no address free that all have in common");
}
