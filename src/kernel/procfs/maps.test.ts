import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { encodeName } from "../../base/names.ts";
import { CairnError } from "../../base/errors.ts";
import { parseMaps } from "./maps.ts";

/** Padded to the column where the kernel starts the name. */
const line = (head: string, name: string): string => (name === "" ? `${head} \n` : `${head.padEnd(72)} ${name}\n`);

test("a mapping's line is taken apart, up to the ends of the address space", () => {
  const entries = parseMaps(
    line("00400000-00401000 r-xp 00000000 fe:10 26723", "/bin/true") +
      line("7f2e52a56000-7f2e52b89000 rw-p 00000000 00:00 0", "") +
      line("ffffffffff600000-ffffffffff601000 --xp ffffffffffff0000 00:00 18446744073709551615", "[vsyscall]"),
  );
  const nothing = { name: null, deleted: false, escaped: false, special: null, anonymousName: null };
  assert.deepEqual(entries, [
    {
      start: 0x400000n,
      end: 0x401000n,
      permissions: "r-xp",
      offset: 0n,
      deviceMajor: 0xfe,
      deviceMinor: 0x10,
      inode: 26723n,
      ...nothing,
      name: "/bin/true",
    },
    {
      start: 0x7f2e52a56000n,
      end: 0x7f2e52b89000n,
      permissions: "rw-p",
      offset: 0n,
      deviceMajor: 0,
      deviceMinor: 0,
      inode: 0n,
      ...nothing,
    },
    {
      start: 0xffffffffff600000n,
      end: 0xffffffffff601000n,
      permissions: "--xp",
      offset: 0xffffffffffff0000n,
      deviceMajor: 0,
      deviceMinor: 0,
      inode: 18446744073709551615n,
      ...nothing,
      special: "vsyscall",
    },
  ]);
});

function named(text: string) {
  const [entry] = parseMaps(line("7f0000000000-7f0000001000 rw-s 00000000 00:01 1025", text));
  assert.ok(entry !== undefined);
  return { name: entry.name, deleted: entry.deleted, escaped: entry.escaped, special: entry.special, anonymousName: entry.anonymousName };
}

test("mappings of the kernel's own are told by kind", () => {
  for (const special of ["heap", "stack", "vdso", "vvar", "vvar_vclock", "vsyscall", "uprobes"]) {
    assert.deepEqual(named(`[${special}]`), { name: null, deleted: false, escaped: false, special, anonymousName: null });
  }
  assert.equal(named("[stack:4321]").special, "other");
  assert.equal(named("[stack:4321]").name, "[stack:4321]");
});

test("anonymous memory has the name that its program gave it", () => {
  assert.equal(named("[anon:my heap]").anonymousName, "my heap");
  assert.equal(named("[anon:]").anonymousName, "");
  assert.equal(named("[anon_shmem:ring :] 2]").anonymousName, "ring :] 2");
  assert.equal(named("[anon_shmem:x]").special, "anon");
});

test("names keep their spaces, and lose only the mark of deletion", () => {
  assert.deepEqual(named("/a  b (deleted) (deleted)"), {
    name: "/a  b (deleted)",
    deleted: true,
    escaped: false,
    special: null,
    anonymousName: null,
  });
  assert.equal(named("/dev/zero (deleted)").name, "/dev/zero");
  assert.equal(named("/memfd:my memfd (deleted)").name, "/memfd:my memfd");
  assert.equal(named("/SYSV0000002a (deleted)").name, "/SYSV0000002a");
  assert.equal(named("/[aio] (deleted)").name, "/[aio]");
  assert.equal(named("anon_inode:[perf_event]").name, "anon_inode:[perf_event]");
  assert.equal(named("/x(deleted)").deleted, false);
  assert.equal(named("/trailing ").name, "/trailing ");
});

test("a newline in a path is read as one, and marked, for a backslash would look the same", () => {
  assert.equal(named("/tmp/a\\012b").name, "/tmp/a\nb");
  assert.equal(named("/tmp/a\\012b").escaped, true);
  assert.equal(named("/tmp/a\\040b").name, "/tmp/a\\040b");
  assert.equal(named("/tmp/a\\040b").escaped, false);
});

test("a process without memory has no mappings", () => {
  assert.deepEqual(parseMaps(""), []);
});

test("a line that is none is refused", () => {
  const good = line("7f0000000000-7f0000001000 rw-s 00000000 00:01 1025", "/x");
  for (const raw of [
    "x\n",
    "\n",
    `${good}7f00`,
    good.replace("-", " "),
    good.replace("rw-s", "rw-sx"),
    good.replace("00:01", "0001"),
    "z".repeat(80),
  ]) {
    assert.throws(() => parseMaps(raw), CairnError, JSON.stringify(raw));
  }
});

test("whatever the kernel prints is read back, whatever bytes a name has", () => {
  const address = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
  const flag = (letter: string): fc.Arbitrary<string> => fc.constantFrom(letter, "-");
  const mapping = fc.record({
    start: address,
    end: address,
    permissions: fc.tuple(flag("r"), flag("w"), flag("x"), fc.constantFrom("p", "s")).map((letters) => letters.join("")),
    offset: address,
    deviceMajor: fc.nat(0xfff),
    deviceMinor: fc.nat(0xfffff),
    inode: address,
    path: fc.option(fc.uint8Array({ maxLength: 30 }).map((bytes) => bytes.filter((byte) => byte !== 0 && byte !== 0x5c))),
    deleted: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(mapping, { maxLength: 5 }), (mappings) => {
      const hex = (value: bigint | number, width: number): string => value.toString(16).padStart(width, "0");
      let raw = "";
      for (const { start, end, permissions, offset, deviceMajor, deviceMinor, inode, path, deleted } of mappings) {
        const text =
          path === null ? "" : `/${Buffer.from(path).toString("latin1").replaceAll("\n", "\\012")}${deleted ? " (deleted)" : ""}`;
        raw += line(
          `${hex(start, 8)}-${hex(end, 8)} ${permissions} ${hex(offset, 8)} ${hex(deviceMajor, 2)}:${hex(deviceMinor, 2)} ${inode}`,
          text,
        );
      }
      const entries = parseMaps(raw);
      assert.equal(entries.length, mappings.length);
      for (const [index, { path, deleted, ...numbers }] of mappings.entries()) {
        const entry = entries[index];
        const name = path === null ? null : encodeName(Buffer.concat([Buffer.from("/"), path]));
        assert.deepEqual(
          { ...entry },
          {
            ...numbers,
            name,
            deleted: path !== null && deleted,
            escaped: path?.includes(0x0a) ?? false,
            special: null,
            anonymousName: null,
          },
        );
      }
    }),
  );
});
