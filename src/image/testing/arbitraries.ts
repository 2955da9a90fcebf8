/** Random metadata that keep all rules: as deep as the rules reach, the rest taken from the sample. */
import * as fc from "fast-check";
import { encodeName } from "../../base/names.ts";
import type { Name } from "../../base/names.ts";
import { toWord } from "../../base/words.ts";
import type { ImageMetadata, Mapping, OpenFile, PageRun, ProcessImage } from "../schema.ts";
import { sampleLive, sampleMetadata } from "./sample.ts";

/** Plain objects, as JSON gives them back. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

/** Pages in the data section of images with such metadata. */
export const ARBITRARY_PAGES = 32;

export const nameArbitrary: fc.Arbitrary<Name> = fc
  .oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => Buffer.from(text)),
  )
  .map((bytes) => encodeName(bytes.filter((byte) => byte !== 0)));

const wordArbitrary = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(toWord);
const siginfoArbitrary = fc.uint8Array({ minLength: 128, maxLength: 128 }).map((bytes) => Buffer.from(bytes).toString("base64"));
const base64Arbitrary = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("base64"));

const identityArbitrary = record({
  device: fc.nat().map(String),
  inode: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(String),
  sizeBytes: fc.maxSafeNat(),
  mtimeNs: fc.bigInt({ min: -(1n << 62n), max: 1n << 62n }).map(String),
});

/** Gaps and lengths in turn make ranges that ascend and don't overlap. */
function rangesArbitrary(maxRanges: number): fc.Arbitrary<{ start: number; length: number }[]> {
  const step = record({ gap: fc.nat(5), length: fc.integer({ min: 1, max: 6 }) });
  return fc.array(step, { maxLength: maxRanges }).map((steps) => {
    let next = 0;
    return steps.map(({ gap, length }) => {
      const start = next + gap;
      next = start + length;
      return { start, length };
    });
  });
}

function runsArbitrary(pages: number): fc.Arbitrary<PageRun[]> {
  return fc
    .tuple(rangesArbitrary(3), fc.nat(ARBITRARY_PAGES - 6))
    .map(([ranges, dataPage]) =>
      ranges.filter(({ start, length }) => start + length <= pages).map(({ start, length }): PageRun => [start, length, dataPage]),
    );
}

function mappingArbitrary(startPage: number, pages: number): fc.Arbitrary<Mapping> {
  const start = 0x10000n + BigInt(startPage);
  const common = {
    start: fc.constant(toWord(start * 4096n)),
    end: fc.constant(toWord((start + BigInt(pages)) * 4096n)),
    permissions: fc.constantFrom("rw-p", "r-xp", "---p", "rwxs"),
    flags: fc.array(fc.constantFrom("dc", "lo", "gd", "hg"), { maxLength: 2 }),
    runs: runsArbitrary(pages),
  };
  const offsetBytes = fc.nat(1000).map((page) => page * 4096);
  return fc.oneof(
    record({ ...common, kind: fc.constantFrom("anonymous" as const, "vdso" as const) }),
    record({ ...common, kind: fc.constant("anonymous" as const), anonymousName: nameArbitrary, hugePageBytes: fc.constant(2 << 20) }),
    record({
      ...common,
      kind: fc.constant("file" as const),
      file: record({ name: nameArbitrary, offsetBytes, identity: identityArbitrary }),
    }),
    record({
      ...common,
      kind: fc.constant("io-uring" as const),
      permissions: fc.constantFrom("rw-s", "r--s"),
      ioUring: record({ openFile: fc.constant(17), offsetBytes: fc.constantFrom(0, 0x10000000) }),
      runs: fc.constant<PageRun[]>([]),
    }),
    record({ ...common, kind: fc.constant("shared" as const), shared: record({ id: fc.constantFrom(1, 2), offsetBytes }) }),
  );
}

const mappingsArbitrary = rangesArbitrary(6).chain((ranges) =>
  fc.tuple(...ranges.map(({ start, length }) => mappingArbitrary(start, length))),
);

function processArbitrary(index: number, openFiles: readonly OpenFile[]): fc.Arbitrary<ProcessImage> {
  const pid = 100 * (index + 1);
  const common = {
    pid: fc.constant(pid),
    parentPid: fc.nat(index).map((parent) => 100 * parent),
    processGroup: fc.nat(4194304),
    session: fc.nat(4194304),
    stopSignal: fc.constant(0),
    exitStatus: fc.nat(0xffff),
    exitSignal: fc.nat(64),
    comm: nameArbitrary,
  };
  const zombie = record({ ...common, state: fc.constant("zombie" as const), alive: fc.constant(null) });
  const alive = record({
    threads: fc.integer({ min: 1, max: 4 }),
    mappings: mappingsArbitrary,
    text: base64Arbitrary,
    siginfo: siginfoArbitrary,
    name: nameArbitrary,
    mask: wordArbitrary,
  }).map(({ threads, mappings, text, siginfo, name, mask }) => {
    const live = sampleLive(
      Array.from({ length: threads }, (_, thread) => pid + thread),
      openFiles,
    );
    return {
      ...live,
      mappings,
      environment: text,
      workingDirectory: name,
      threads: live.threads.map((thread) => ({ ...thread, signalMask: mask, pendingSignals: [siginfo] })),
    };
  });
  return fc.oneof(zombie, record({ ...common, state: fc.constantFrom("running" as const, "stopped" as const), alive }));
}

export const metadataArbitrary: fc.Arbitrary<ImageMetadata> = fc.integer({ min: 1, max: 4 }).chain((count) => {
  const sample = sampleMetadata();
  const processes = Array.from({ length: count }, (_, index) => processArbitrary(index, sample.openFiles));
  return record({
    takenAt: fc.date({ min: new Date(0), max: new Date("2100-01-01"), noInvalidDate: true }).map((date) => date.toISOString()),
    host: fc.constant(sample.host),
    clocks: fc.constant(sample.clocks),
    rootPid: fc.constant(100),
    processes: fc.tuple(...processes),
    openFiles: fc.constant(sample.openFiles),
    pipes: fc
      .tuple(base64Arbitrary, base64Arbitrary)
      .map((parts) => parts.map((content, index) => ({ id: index + 1, capacityBytes: 65536, content: [content] }))),
    ptys: fc.constant(sample.ptys),
    sharedMemory: fc.tuple(nameArbitrary, nameArbitrary, runsArbitrary(2)).map(([first, second, runs]) => [
      { id: 1, kind: "anonymous" as const, name: first, sizeBytes: 8192, seals: 0, mode: 0, runs },
      { id: 2, kind: "memfd" as const, name: second, sizeBytes: 1, seals: 0, mode: 0, runs: [] },
    ]),
    savedFiles: fc.constant(sample.savedFiles),
    warnings: fc.array(fc.string({ unit: "grapheme" }), { maxLength: 2 }),
  });
});
