import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../../base/errors.ts";
import { parseVmFlags } from "./smaps.ts";

const group = (head: string, flags: string, pageKib = 4, key: number | null = 0): string => `${head}
Size:                  8 kB
KernelPageSize:    ${String(pageKib).padStart(8)} kB
MMUPageSize:           4 kB
Rss:                   8 kB
THPeligible:           0
${key === null ? "" : `ProtectionKey:  ${String(key).padStart(8)}\n`}VmFlags:${flags} 
`;

test("flags are found by the start of their mapping", () => {
  const flags = parseVmFlags(
    group("00400000-00402000 r--p 00000000 fe:00 260386    /usr/bin/head", " rd mr mw me") +
      group("7f0000000000-7f0000200000 rw-p 00000000 00:0f 77   /VmFlags: rd\\012 (deleted)", " rd wr mr mw me de ht", 2048, null) +
      group("7f0000300000-7f0000301000 rw-p 00000000 00:00 0 ", "", 4, 3) +
      group("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0     [vsyscall]", " ex"),
  );
  assert.deepEqual(
    [...flags],
    [
      [0x400000n, { flags: ["rd", "mr", "mw", "me"], kernelPageBytes: 4096, protectionKey: 0 }],
      [0x7f0000000000n, { flags: ["rd", "wr", "mr", "mw", "me", "de", "ht"], kernelPageBytes: 2 << 20, protectionKey: 0 }],
      [0x7f0000300000n, { flags: [], kernelPageBytes: 4096, protectionKey: 3 }],
      [0xffffffffff600000n, { flags: ["ex"], kernelPageBytes: 4096, protectionKey: 0 }],
    ],
  );
});

test("a process without memory has no flags", () => {
  assert.equal(parseVmFlags("").size, 0);
});

test("a text without flags is refused", () => {
  assert.throws(() => parseVmFlags("00400000-00402000 r--p 00000000 fe:00 260386    /usr/bin/head\nSize:  8 kB\n"), CairnError);
});
