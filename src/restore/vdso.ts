/**
 * The vdso: code that the kernel lends to every process. Programs remember where its functions are, so it has to be where
 * it was, and to be the same. Where this kernel's is another, the old one's pages are put there instead, each function
 * replaced by the system call that it stands for: slower by a system call, and right.
 */
import { CairnError } from "../base/errors.ts";
import { asPid, asRemoteAddress } from "../base/ids.ts";
import type { ImageReader, LiveProcessImage, Mapping } from "../image/mod.ts";
import { readMaps } from "../kernel/procfs/mod.ts";
import { readRemoteExactly } from "../kernel/remote-memory.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";

export type VdsoPlan =
  | { readonly kind: "none" }
  /** Map this kernel's vdso with its data pages from `start` on. */
  | { readonly kind: "same"; readonly start: bigint }
  /** Anonymous memory with these bytes. */
  | { readonly kind: "replaced"; readonly start: bigint; readonly bytes: Buffer };

interface OwnVdso {
  readonly dataBytes: bigint;
  readonly code: Buffer;
}

/** This kernel's, as this process has it. */
function ownVdso(): OwnVdso | null {
  const maps = readMaps(asPid(process.pid)) ?? [];
  const code = maps.find((entry) => entry.special === "vdso");
  if (code === undefined) return null;
  const data = maps.filter((entry) => entry.special === "vvar" || entry.special === "vvar_vclock");
  const dataBytes = data.reduce((sum, entry) => sum + (entry.end - entry.start), 0n);
  return { dataBytes, code: readRemoteExactly(asPid(process.pid), asRemoteAddress(code.start), Number(code.end - code.start)) };
}

export function planVdso(reader: ImageReader, live: LiveProcessImage): VdsoPlan {
  const code = live.mappings.find((mapping) => mapping.kind === "vdso");
  if (code === undefined) return { kind: "none" };
  const saved = savedCode(reader, code);
  const own = ownVdso();
  const data = live.mappings.filter((mapping) => mapping.kind === "vvar");
  const dataBytes = data.reduce((sum, mapping) => sum + (BigInt(mapping.end) - BigInt(mapping.start)), 0n);
  if (own !== null && own.code.equals(saved) && own.dataBytes === dataBytes) return { kind: "same", start: BigInt(code.start) - dataBytes };
  return { kind: "replaced", start: BigInt(code.start), bytes: replaceFunctions(saved) };
}

function savedCode(reader: ImageReader, mapping: Mapping): Buffer {
  const bytes = Buffer.alloc(Number(BigInt(mapping.end) - BigInt(mapping.start)));
  for (const [page, count, at] of mapping.runs) bytes.set(reader.readPages(at, count), page * 4096);
  return bytes;
}

const FUNCTIONS: Readonly<Record<string, number>> = {
  clock_gettime: SYSCALLS.clock_gettime,
  gettimeofday: SYSCALLS.gettimeofday,
  time: SYSCALLS.time,
  clock_getres: SYSCALLS.clock_getres,
  getcpu: SYSCALLS.getcpu,
  getrandom: SYSCALLS.getrandom,
};

const SHT_DYNSYM = 11;
const SYMBOL_BYTES = 24;

/** Replaces the body of each known function by `mov eax, number; syscall; ret`. */
function replaceFunctions(code: Buffer): Buffer {
  const bytes = Buffer.from(code);
  for (const { name, value } of dynamicSymbols(bytes)) {
    const number = FUNCTIONS[name.replace(/^__vdso_/, "")];
    if (number === undefined || value + 8 > bytes.length) continue;
    bytes.set([0xb8, number & 0xff, number >> 8, 0, 0, 0x0f, 0x05, 0xc3], value);
  }
  return bytes;
}

function dynamicSymbols(elf: Buffer): { name: string; value: number }[] {
  if (elf.readUInt32BE(0) !== 0x7f454c46) throw new CairnError("damaged", "The vdso in the image is no ELF file");
  const sections = Number(elf.readBigUInt64LE(40));
  const sectionBytes = elf.readUInt16LE(58);
  const count = elf.readUInt16LE(60);
  const found: { name: string; value: number }[] = [];
  for (let i = 0; i < count; i += 1) {
    const at = sections + i * sectionBytes;
    if (at + 64 > elf.length || elf.readUInt32LE(at + 4) !== SHT_DYNSYM) continue;
    const offset = Number(elf.readBigUInt64LE(at + 24));
    const size = Number(elf.readBigUInt64LE(at + 32));
    const strings = Number(elf.readBigUInt64LE(sections + elf.readUInt32LE(at + 40) * sectionBytes + 24));
    for (let symbol = offset; symbol + SYMBOL_BYTES <= Math.min(offset + size, elf.length); symbol += SYMBOL_BYTES) {
      const name = strings + elf.readUInt32LE(symbol);
      found.push({ name: elf.toString("latin1", name, elf.indexOf(0, name)), value: Number(elf.readBigUInt64LE(symbol + 8)) });
    }
  }
  return found;
}
