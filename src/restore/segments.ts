/**
 * System V segments attached at their places, as a process had them.
 *
 * shmdt(2) takes away what came of one shmat(2), and finds it by where the segment begins: parts that were left of an
 * attachment (munmap), changed (mprotect) or moved (mremap) have to come of one attachment again. A whole one is attached
 * where it was. Of a partial one the whole may not fit there: it is attached aside, its parts are moved, the rest goes.
 */
import { CairnError } from "../base/errors.ts";
import type { Mapping } from "../image/mod.ts";
import { MREMAP_FIXED, MREMAP_MAYMOVE, PROT_READ, PROT_WRITE, SHM_RDONLY } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { ARENA, call, purposed } from "../tracee/puppet.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";
import { protectionOf } from "./protection.ts";

const PAGE = 4096n;
const LOWEST = 0x10000n;
const HIGHEST = 0x7fff_0000_0000n;

interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

interface Attachment {
  readonly id: number;
  readonly readOnly: boolean;
  /** Where the whole segment begins, or would. */
  readonly base: bigint;
  readonly lengthBytes: bigint;
  readonly parts: (Range & { readonly mapping: Mapping })[];
}

/** Precondition: the puppet has nothing mapped but its arena. */
export function attachSegments(puppet: Puppet, mappings: readonly Mapping[], segmentBytes: (id: number) => number): void {
  const arena = { start: puppet.arena, end: puppet.arena + BigInt(ARENA.bytes) };
  const used = [arena, ...mappings.map(({ start, end }) => ({ start: BigInt(start), end: BigInt(end) }))];
  for (const attachment of attachmentsOf(mappings, segmentBytes)) {
    const { id, readOnly, base, lengthBytes, parts } = attachment;
    const isWhole = isContiguous(attachment);
    const at = isWhole ? base : freeRange(used, lengthBytes);
    const purpose = `attaching System V segment ${id} at 0x${base.toString(16)}`;
    puppet.run([purposed(purpose, SYSCALLS.shmat, BigInt(id), at, BigInt(readOnly ? SHM_RDONLY : 0))]);
    if (!isWhole) puppet.run(moveParts(attachment, at, purpose));
    puppet.run(parts.flatMap((part) => protectCalls(part.mapping, readOnly)));
  }
}

function attachmentsOf(mappings: readonly Mapping[], segmentBytes: (id: number) => number): Attachment[] {
  const attachments = new Map<string, Attachment>();
  for (const mapping of mappings) {
    if (mapping.segment === undefined) continue;
    const { id, offsetBytes, readOnly } = mapping.segment;
    const start = BigInt(mapping.start);
    const base = start - BigInt(offsetBytes);
    const key = `${id} ${base} ${readOnly}`;
    let attachment = attachments.get(key);
    if (attachment === undefined) {
      const lengthBytes = ((BigInt(segmentBytes(id)) + PAGE - 1n) / PAGE) * PAGE;
      attachment = { id, readOnly, base, lengthBytes, parts: [] };
      attachments.set(key, attachment);
    }
    attachment.parts.push({ start, end: BigInt(mapping.end), mapping });
  }
  return [...attachments.values()];
}

/** Mappings ascend: the parts make up the whole when each begins where the last one ended. */
function isContiguous({ base, lengthBytes, parts }: Attachment): boolean {
  let end = base;
  for (const part of parts) {
    if (part.start !== end) return false;
    end = part.end;
  }
  return end === base + lengthBytes;
}

function moveParts({ base, lengthBytes, parts }: Attachment, at: bigint, purpose: string): Call[] {
  const calls: Call[] = [];
  let done = at;
  for (const { start, end } of parts) {
    const from = at + (start - base);
    if (from > done) calls.push(call(SYSCALLS.munmap, done, from - done));
    calls.push(purposed(purpose, SYSCALLS.mremap, from, end - start, end - start, BigInt(MREMAP_MAYMOVE | MREMAP_FIXED), start));
    done = from + (end - start);
  }
  if (done < at + lengthBytes) calls.push(call(SYSCALLS.munmap, done, at + lengthBytes - done));
  return calls;
}

function protectCalls(mapping: Mapping, readOnly: boolean): Call[] {
  const attached = readOnly ? PROT_READ : PROT_READ | PROT_WRITE;
  const wanted = protectionOf(mapping);
  const start = BigInt(mapping.start);
  return wanted === attached ? [] : [call(SYSCALLS.mprotect, start, BigInt(mapping.end) - start, BigInt(wanted))];
}

function freeRange(used: readonly Range[], lengthBytes: bigint): bigint {
  let candidate = LOWEST;
  for (const { start, end } of [...used].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    if (start >= candidate + lengthBytes) break;
    if (end > candidate) candidate = end;
  }
  if (candidate + lengthBytes < HIGHEST) return candidate;
  throw new CairnError("unsupported", "Cannot restart: a process of the job leaves no room to attach its System V shared memory anew");
}
