import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { IORING_OFF_SQES, IORING_OFF_SQ_RING, IORING_REGISTER_EVENTFD } from "./abi/io-uring.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { OwnedFd } from "./descriptors.ts";
import { RingMemory, enterRing, hasProvidedBuffers, makeRing, probeRing, ringUseOf } from "./io-uring.ts";
import type { RingLayout } from "./io-uring.ts";
import { addressOf } from "./memory-ffi.ts";
import { makeEventfd } from "./open.ts";
import { systemCall } from "./syscall-ffi.ts";

const SIZE = { submissionEntries: 8, completionEntries: 32 };

function withRing(sentence: string, body: (fd: Fd, layout: RingLayout) => void): void {
  test(sentence, (t: TestContext) => {
    let made: ReturnType<typeof makeRing>;
    try {
      made = makeRing(SIZE);
    } catch (error) {
      if (error instanceof SyscallError && ["ENOSYS", "EPERM"].includes(error.errnoName)) return t.skip("no io_uring on this machine");
      throw error;
    }
    using ring = new OwnedFd(made.fd);
    body(ring.fd, made.layout);
  });
}

withRing("a new ring has the size that was asked for and is used by nobody in a special way", (fd, layout) => {
  assert.equal(probeRing(fd), "plain");
  assert.equal(hasProvidedBuffers(fd, 8), false);
  assert.equal(layout.requestBytes, 4096);
  using rings = new RingMemory(fd, IORING_OFF_SQ_RING, layout.ringBytes);
  assert.equal(rings.read().length, layout.ringBytes);
  assert.equal(rings.readWord(layout.completionTail), 0);
});

withRing("looking at a ring changes nothing in it", (fd, layout) => {
  using rings = new RingMemory(fd, IORING_OFF_SQ_RING, layout.ringBytes);
  const before = rings.read();
  probeRing(fd);
  hasProvidedBuffers(fd, 8);
  assert.deepEqual(rings.read(), before);
  assert.equal(probeRing(fd), "plain");
});

withRing("a ring's memory ends where it ends, even when more is mapped", (fd, layout) => {
  using requests = new RingMemory(fd, IORING_OFF_SQES, layout.requestBytes + 4096);
  assert.equal(requests.read().length, layout.requestBytes);
});

withRing("a request of zeros does nothing and is answered at once", (fd, layout) => {
  using rings = new RingMemory(fd, IORING_OFF_SQ_RING, layout.ringBytes);
  rings.writeWord(layout.submissionTail, 5);
  assert.equal(enterRing(fd, 5), 5);
  assert.equal(rings.readWord(layout.completionTail), 5);
});

withRing("a registered eventfd is seen", (fd) => {
  using event = new OwnedFd(makeEventfd(0));
  const argument = Buffer.alloc(64);
  argument.writeInt32LE(event.fd, 0);
  assert.equal(systemCall(SYSCALLS.io_uring_register, fd, IORING_REGISTER_EVENTFD, addressOf(argument), 1), 0);
  assert.equal(probeRing(fd), "eventfd");
});

test("an answer that no kernel gives says nothing", () => {
  assert.equal(ringUseOf(0), "unknown");
  assert.equal(ringUseOf(-17), "single-issuer");
  assert.equal(ringUseOf(-13), "restricted");
});
