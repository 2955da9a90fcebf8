import assert from "node:assert/strict";
import { test } from "node:test";
import { classifyLink } from "./descriptors.ts";

const raw = (text: string): string => Buffer.from(text).toString("latin1");

test("paths are names, byte for byte", () => {
  assert.deepEqual(classifyLink("/dev/null"), { kind: "path", name: "/dev/null", deleted: false });
  assert.deepEqual(classifyLink("/tmp/a\nb \\012"), { kind: "path", name: "/tmp/a\nb \\012", deleted: false });
  assert.deepEqual(classifyLink(raw("/tmp/größe")), { kind: "path", name: "/tmp/größe", deleted: false });
  assert.deepEqual(classifyLink("/\xff"), { kind: "path", name: { base64: "L/8=" }, deleted: false });
});

test("a path that ends in the mark of deletion is taken for deleted, and loses the mark once", () => {
  assert.deepEqual(classifyLink("/tmp/x (deleted)"), { kind: "path", name: "/tmp/x", deleted: true });
  assert.deepEqual(classifyLink("/tmp/x (deleted) (deleted)"), { kind: "path", name: "/tmp/x (deleted)", deleted: true });
});

test("memory files have the name that they were given, if it has the mark or not", () => {
  assert.deepEqual(classifyLink("/memfd:my memfd (deleted)"), { kind: "memfd", name: "my memfd" });
  assert.deepEqual(classifyLink("/memfd: (deleted)"), { kind: "memfd", name: "" });
  assert.deepEqual(classifyLink("/memfd:a (deleted) (deleted)"), { kind: "memfd", name: "a (deleted)" });
  assert.deepEqual(classifyLink("/memfd:x"), { kind: "path", name: "/memfd:x", deleted: false });
  assert.deepEqual(classifyLink("/secretmem (deleted)"), { kind: "anonymous", anonymous: "secretmem", inode: null });
});

test("pipes, sockets and namespaces have inodes", () => {
  assert.deepEqual(classifyLink("pipe:[7446]"), { kind: "pipe", inode: 7446n });
  assert.deepEqual(classifyLink("socket:[18446744073709551615]"), { kind: "socket", inode: 18446744073709551615n });
  assert.deepEqual(classifyLink("net:[4026531833]"), { kind: "namespace", type: "net", inode: 4026531833n });
});

test("what the kernel makes without a file is told by its word, with or without brackets", () => {
  for (const word of [
    "eventpoll",
    "eventfd",
    "signalfd",
    "timerfd",
    "io_uring",
    "bpf-map",
    "perf_event",
    "userfaultfd",
    "fscontext",
    "kvm-vm",
  ]) {
    assert.deepEqual(classifyLink(`anon_inode:[${word}]`), { kind: "anonymous", anonymous: word, inode: null });
  }
  assert.deepEqual(classifyLink("anon_inode:inotify"), { kind: "anonymous", anonymous: "inotify", inode: null });
  assert.deepEqual(classifyLink("anon_inode:kvm-vcpu:0"), { kind: "anonymous", anonymous: "kvm-vcpu:0", inode: null });
});

test("a pidfd is one in older and newer kernels", () => {
  assert.deepEqual(classifyLink("anon_inode:[pidfd]"), { kind: "anonymous", anonymous: "pidfd", inode: null });
  assert.deepEqual(classifyLink("pidfd:[4320]"), { kind: "anonymous", anonymous: "pidfd", inode: 4320n });
});

test("what is none of these is kept as it is", () => {
  for (const text of ["(unreachable)/x", "pipe:[x]", "dmabuf:", "", "pipe:[7446", "foo:[1]"]) {
    assert.deepEqual(classifyLink(text), { kind: "unknown", text });
  }
});
