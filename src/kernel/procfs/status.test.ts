import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../../base/errors.ts";
import { parseStatus } from "./status.ts";

const LIVE = `Name:\ta) (b\\nc\\\\d
Umask:\t0027
State:\tt (tracing stop)
Tgid:\t4320
Ngid:\t0
Pid:\t4321
PPid:\t4317
TracerPid:\t99
Uid:\t1000\t1001\t1002\t1003
Gid:\t100\t101\t102\t103
FDSize:\t256
Groups:\t4 24 1000 4294967294 
NStgid:\t4320\t12\t1
NSpid:\t4321\t13\t2
NSpgid:\t4317\t0\t0
NSsid:\t2179\t0\t0
Kthread:\t0
VmPeak:\t   18704 kB
VmSize:\t   18704 kB
VmLck:\t      64 kB
VmPin:\t       0 kB
VmHWM:\t   15280 kB
VmRSS:\t   15280 kB
RssAnon:\t    8216 kB
RssFile:\t    7064 kB
RssShmem:\t      16 kB
VmData:\t    9628 kB
VmSwap:\t       8 kB
HugetlbPages:\t       0 kB
CoreDumping:\t0
THP_enabled:\t0
untag_mask:\t0xffffffffffffffff
Threads:\t2
SigQ:\t3/96365
SigPnd:\t0000000000000200
ShdPnd:\t8000000000000000
SigBlk:\tfffffffe7ffbfeff
SigIgn:\t0000000001001000
SigCgt:\t0000000180000002
CapInh:\t0000000000000001
CapPrm:\t000001fffeffffff
CapEff:\t000001fffeffffff
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000002
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t3
Speculation_Store_Bypass:\tthread vulnerable
x86_Thread_features:\tshstk wrss 
x86_Thread_features_locked:\t
Cpus_allowed:\t3
voluntary_ctxt_switches:\t76
`;

test("a thread's status is taken apart field by field", () => {
  assert.deepEqual(parseStatus(LIVE), {
    name: "a) (b\nc\\d",
    umask: 0o27,
    state: "t",
    tgid: 4320,
    pid: 4321,
    parentPid: 4317,
    tracerPid: 99,
    uids: { real: 1000, effective: 1001, saved: 1002, fileSystem: 1003 },
    gids: { real: 100, effective: 101, saved: 102, fileSystem: 103 },
    groups: [4, 24, 1000, 4294967294],
    namespaceTgids: [4320, 12, 1],
    namespacePids: [4321, 13, 2],
    namespacePgids: [4317, 0, 0],
    namespaceSids: [2179, 0, 0],
    kernelThread: false,
    threads: 2,
    signalsPendingThread: 0x200n,
    signalsPendingShared: 0x8000000000000000n,
    signalsBlocked: 0xfffffffe7ffbfeffn,
    signalsIgnored: 0x1001000n,
    signalsCaught: 0x180000002n,
    signalsQueued: 3,
    capabilities: {
      inheritable: 1n,
      permitted: 0x1fffeffffffn,
      effective: 0x1fffeffffffn,
      bounding: 0x1ffffffffffn,
      ambient: 2n,
    },
    noNewPrivileges: true,
    seccompMode: 2,
    seccompFilters: 3,
    thpEnabled: false,
    coreDumping: false,
    threadFeatures: ["shstk", "wrss"],
    virtualBytes: 18704 * 1024,
    dataBytes: 9628 * 1024,
    residentBytes: 15280 * 1024,
    residentAnonymousBytes: 8216 * 1024,
    residentSharedBytes: 16 * 1024,
    lockedBytes: 64 * 1024,
    pinnedBytes: 0,
    swappedBytes: 8 * 1024,
  });
});

test("a zombie's status has no memory, no umask and no pids in inner namespaces", () => {
  const zombie = LIVE.split("\n")
    .filter((line) => !/^(Umask|Vm|Rss|Hugetlb|THP|CoreDumping|NS|x86)/.test(line))
    .join("\n")
    .replace("t (tracing stop)", "Z (zombie)");
  const status = parseStatus(zombie);
  assert.equal(status.state, "Z");
  assert.equal(status.umask, null);
  assert.equal(status.thpEnabled, null);
  assert.equal(status.residentBytes, 0);
  // A kernel that lacks the lists has no inner namespace to tell of.
  assert.deepEqual(status.namespacePids, [4321]);
  assert.deepEqual(status.namespaceTgids, [4320]);
});

test("a process without groups has an empty list", () => {
  assert.deepEqual(parseStatus(LIVE.replace(/^Groups:.*$/m, "Groups:\t ")).groups, []);
});

test("a name that looks like a field of its own is still a name", () => {
  assert.equal(parseStatus(LIVE.replace(/^Name:.*$/m, "Name:\tPid:\t1")).name, "Pid:\t1");
  assert.equal(parseStatus(LIVE.replace(/^Name:.*$/m, "Name:\t\\\\n\\\\\\n")).name, "\\n\\\n");
  assert.deepEqual(parseStatus(LIVE.replace(/^Name:.*$/m, "Name:\t\xff")).name, { base64: "/w==" });
  assert.equal(parseStatus(LIVE.replace(/^Name:.*$/m, "Name:\t")).name, "");
});

test("a status that was cut short is refused", () => {
  assert.throws(() => parseStatus(""), CairnError);
  assert.throws(() => parseStatus(LIVE.slice(0, LIVE.indexOf("Uid:"))), CairnError);
  assert.throws(() => parseStatus(LIVE.replace("4320", "many")), CairnError);
});
