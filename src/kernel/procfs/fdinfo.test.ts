import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../../base/errors.ts";
import { parseDescriptorInfo } from "./fdinfo.ts";

const COMMON = "pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t1039\n";

test("every descriptor has a position, flags in octal, a mount and an inode", () => {
  const info = parseDescriptorInfo("pos:\t18446744073709551615\nflags:\t0102002\nmnt_id:\t27\nino:\t18446744073709551614\n");
  assert.equal(info.pos, 18446744073709551615n);
  assert.equal(info.flags, 0o102002);
  assert.equal(info.mountId, 27);
  assert.equal(info.inode, 18446744073709551614n);
  assert.equal(info.eventfd, null);
  assert.equal(info.timerfd, null);
  assert.equal(info.signalfdMask, null);
  assert.equal(info.pidfd, null);
  assert.equal(info.ttyIndex, null);
  assert.equal(info.ioUring, null);
  assert.deepEqual(info.epoll, []);
  assert.deepEqual(info.locks, []);
});

test("an older kernel says nothing of the inode", () => {
  assert.equal(parseDescriptorInfo("pos:\t5\nflags:\t02\nmnt_id:\t17\n").inode, null);
});

test("an eventfd's count is hexadecimal", () => {
  const info = parseDescriptorInfo(`${COMMON}eventfd-count:               1f\neventfd-id: 12\neventfd-semaphore: 1\n`);
  assert.deepEqual(info.eventfd, { count: 31n, id: 12, semaphore: true });
  const full = parseDescriptorInfo(`${COMMON}eventfd-count: fffffffffffffffe\n`);
  assert.deepEqual(full.eventfd, { count: 0xfffffffffffffffen, id: null, semaphore: null });
});

test("an epoll lists its targets, with data of 64 bits and the kernel's device numbers", () => {
  const info = parseDescriptorInfo(
    `${COMMON}tfd:        3 events: 80000019 data:                3  pos:0 ino:40f sdev:10\n` +
      "tfd:   100000 events:       1d data: ffffffffffffffff  pos:4096 ino:3f7e8 sdev:fe00001\n" +
      "tfd:        5 events:       19 data:     7f0000000005\n",
  );
  assert.deepEqual(info.epoll, [
    { fd: 3, events: 0x80000019, data: 3n, pos: 0n, inode: 0x40fn, device: { major: 0, minor: 16 } },
    { fd: 100000, events: 0x1d, data: 0xffffffffffffffffn, pos: 4096n, inode: 0x3f7e8n, device: { major: 254, minor: 1 } },
    { fd: 5, events: 0x19, data: 0x7f0000000005n, pos: 0n, inode: null, device: null },
  ]);
});

test("a signalfd's mask is a word", () => {
  assert.equal(parseDescriptorInfo(`${COMMON}sigmask:\t8000000000001041\n`).signalfdMask, 0x8000000000001041n);
});

test("a timerfd's times are in nanoseconds, its flags in octal", () => {
  const info = parseDescriptorInfo(
    `${COMMON}clockid: 1\nticks: 7\nsettime flags: 03\nit_value: (9223372035, 999999999)\nit_interval: (2, 7)\n`,
  );
  assert.deepEqual(info.timerfd, { clock: 1, ticks: 7n, settimeFlags: 3, valueNs: 9223372035999999999n, intervalNs: 2000000007n });
});

test("a fanotify group lists its marks on files, mounts and file systems", () => {
  const info = parseDescriptorInfo(
    `${COMMON}fanotify flags:c10 event-flags:8000\nfanotify mnt_id:1e mflags:0 mask:20 ignored_mask:0\n` +
      "fanotify ino:1a60c1 sdev:fe00000 mflags:40 mask:48000028 ignored_mask:8 fhandle-bytes:8 fhandle-type:1 f_handle:c1601a002c047c0a\n" +
      "fanotify sdev:1b mflags:0 mask:8000300 ignored_mask:0\n",
  );
  const nowhere = { inode: 0n, device: { major: 0, minor: 0 }, mountId: 0, markFlags: 0, ignoredMask: 0, handleType: 0, handle: "" };
  assert.deepEqual(info.fanotify, {
    flags: 0xc10,
    eventFlags: 0x8000,
    marks: [
      { ...nowhere, on: "mount", mountId: 0x1e, mask: 0x20 },
      {
        ...nowhere,
        on: "file",
        inode: 0x1a60c1n,
        device: { major: 254, minor: 0 },
        markFlags: 0x40,
        mask: 0x48000028,
        ignoredMask: 8,
        handleType: 1,
        handle: "c1601a002c047c0a",
      },
      { ...nowhere, on: "file system", device: { major: 0, minor: 27 }, mask: 0x8000300 },
    ],
  });
});

test("an inotify lists its watches, all numbers hexadecimal", () => {
  const info = parseDescriptorInfo(
    `${COMMON}inotify wd:1f ino:3f7e8 sdev:fe00000 mask:fff ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:e8f7030000000000\n` +
      "inotify wd:2 ino:1 sdev:15 mask:2 ignored_mask:0 \n",
  );
  assert.deepEqual(info.inotify, [
    { watch: 31, inode: 0x3f7e8n, device: { major: 254, minor: 0 }, mask: 0xfff, handleType: 1, handle: "e8f7030000000000" },
    { watch: 2, inode: 1n, device: { major: 0, minor: 0x15 }, mask: 2, handleType: 0, handle: "" },
  ]);
});

test("a pidfd tells whose it is, and that the process is gone", () => {
  assert.deepEqual(parseDescriptorInfo(`${COMMON}Pid:\t4320\nNSpid:\t4320\t1\n`).pidfd, { pid: 4320, namespacePids: [4320, 1] });
  assert.deepEqual(parseDescriptorInfo(`${COMMON}Pid:\t-1\nNSpid:\t-1\n`).pidfd, { pid: -1, namespacePids: [-1] });
});

test("a pty's master tells its number", () => {
  assert.equal(parseDescriptorInfo(`${COMMON}tty-index:\t12\n`).ttyIndex, 12);
});

test("locks of every type are read", () => {
  const info = parseDescriptorInfo(
    `${COMMON}lock:\t1: FLOCK  ADVISORY  READ 4320 fe:00:2146330 0 EOF\n` +
      "lock:\t2: POSIX  ADVISORY  WRITE 4320 fe:00:2146330 5 14\n" +
      "lock:\t3: OFDLCK ADVISORY  WRITE -1 103:12:2146334 0 9223372036854775806\n" +
      "lock:\t4: LEASE  ACTIVE    WRITE 4320 fe:00:2146335 0 EOF\n" +
      "lock:\t5: POSIX  ADVISORY  WRITE 4320 <none>:0 0 EOF\n",
  );
  const disk = { deviceMajor: 0xfe, deviceMinor: 0, waiting: false };
  assert.deepEqual(info.locks, [
    { ...disk, number: 1, type: "FLOCK", state: "ADVISORY", mode: "READ", pid: 4320, inode: 2146330n, start: 0n, end: "EOF" },
    { ...disk, number: 2, type: "POSIX", state: "ADVISORY", mode: "WRITE", pid: 4320, inode: 2146330n, start: 5n, end: 14n },
    {
      number: 3,
      waiting: false,
      type: "OFDLCK",
      state: "ADVISORY",
      mode: "WRITE",
      pid: -1,
      deviceMajor: 0x103,
      deviceMinor: 0x12,
      inode: 2146334n,
      start: 0n,
      end: 9223372036854775806n,
    },
    { ...disk, number: 4, type: "LEASE", state: "ACTIVE", mode: "WRITE", pid: 4320, inode: 2146335n, start: 0n, end: "EOF" },
    { ...disk, number: 5, type: "POSIX", state: "ADVISORY", mode: "WRITE", pid: 4320, inode: 0n, deviceMajor: 0, start: 0n, end: "EOF" },
  ]);
});

test("lines of kinds that nothing is known of are passed over", () => {
  const info = parseDescriptorInfo(`${COMMON}scm_fds: 0\nSqMask:\t0x7\nPollList:\nNAPI:\tdisabled\nfanotify flags:0 event-flags:8000\n`);
  assert.equal(info.mountId, 17);
});

test("a text without a position or with a broken line is refused", () => {
  assert.throws(() => parseDescriptorInfo(""), CairnError);
  assert.throws(() => parseDescriptorInfo(`${COMMON}lock:\t1: FLOCK\n`), CairnError);
  assert.throws(() => parseDescriptorInfo(`${COMMON}tfd: x\n`), CairnError);
  assert.throws(() => parseDescriptorInfo(`${COMMON}clockid: 1\n`), CairnError);
});

const RING =
  "SqMask:\t0xff\nSqHead:\t7\nSqTail:\t9\nCachedSqHead:\t7\nCqMask:\t0x1ff\nCqHead:\t4\nCqTail:\t7\nCachedCqTail:\t7\nSQEs:\t2\n" +
  "    7: opcode:NOP, fd:0, flags:0, off:0, addr:0x0, rw_flags:0x0, buf_index:0 user_data:0\n" +
  "    8: opcode:NOP, fd:0, flags:0, off:0, addr:0x0, rw_flags:0x0, buf_index:0 user_data:1\n" +
  "CQEs:\t3\n    4: user_data:1, res:0, flags:0\n    5: user_data:1, res:0, flags:0\n    6: user_data:1, res:0, flags:0\n";

test("an io_uring's positions are read, and that nothing hangs on it", () => {
  const info = parseDescriptorInfo(
    `${COMMON}${RING}SqThread:\t-1\nSqThreadCpu:\t-1\nSqTotalTime:\t0\nSqWorkTime:\t0\nUserFiles:\t0\nUserBufs:\t0\nPollList:\nCqOverflowList:\nNAPI:\tdisabled\n`,
  );
  assert.equal(info.inode, 1039n);
  assert.deepEqual(info.ioUring, {
    submissionEntries: 256,
    completionEntries: 512,
    submissionHead: 7,
    knownSubmissionHead: 7,
    submissionTail: 9,
    completionHead: 4,
    completionTail: 7,
    knownCompletionTail: 7,
    hasPollThread: false,
    registeredFiles: 0,
    registeredBuffers: 0,
    personalities: 0,
    polls: 0,
    overflown: 0,
    busyPolls: false,
  });
});

test("what hangs on an io_uring is counted", () => {
  const info = parseDescriptorInfo(
    `${COMMON}${RING}SqThread:\t4321\nSqThreadCpu:\t1\nSqTotalTime:\t5\nSqWorkTime:\t2\nUserFiles:\t2\n    0: /etc/hosts\n    1: <none>\n` +
      "UserBufs:\t1\n    0: 0x7f0000000000/4096\nPersonalities:\n    1\n            Uid:\t\t0\t\t0\t\t0\t\t0\n" +
      "PollList:\n  op=6, task_works=0\n  op=22, task_works=0\nCqOverflowList:\n  user_data=9, res=0, flags=0\nNAPI:\tenabled\nnapi_busy_poll_dt:\t50\n",
  );
  const { hasPollThread, registeredFiles, registeredBuffers, personalities, polls, overflown, busyPolls } = info.ioUring ?? {};
  assert.deepEqual([hasPollThread, registeredFiles, registeredBuffers, polls, overflown, busyPolls], [true, 2, 1, 2, 1, true]);
  assert.ok((personalities ?? 0) > 0);
});

test("an io_uring whose lock was held says too little to be known", () => {
  assert.equal(parseDescriptorInfo(`${COMMON}${RING}SqThread:\t-1\n`).ioUring, null);
});
