/**
 * The messages of a POSIX message queue. The kernel has no way to look at them where they are: they have to be received, and sent again. Who
 * does so is a process of its own, which is not to be killed with us: it takes all out and puts all back within some microseconds, and leaves
 * what it saw in shared memory.
 *
 * What remains open: if we are killed within those microseconds, the job runs on while its messages are out. Who receives just then may wait
 * a little, or find them in two halves; who has waited for room in a full queue may get in before those that were in it.
 */
import { closeSync, ftruncateSync, readSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { asTid } from "../base/ids.ts";
import { MFD_CLOEXEC } from "../kernel/abi/constants.ts";
import { errnoName } from "../kernel/errno.ts";
import type { QueueAttributes, QueueMessage } from "../kernel/message-queues.ts";
import { makeMemfd } from "../kernel/open.ts";
import { executableInMemory, spawnProgram } from "../kernel/spawn-ffi.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import { tryReap } from "./patience.ts";
import { TURN_HEAD_BYTES, TURN_RECORD_HEAD_BYTES, turnProgram } from "./x86-64/turn-program.ts";

/**
 * In the order in which they are received. `queue`: a description of our own, open for both, that blocks: for the moment that the messages are
 * out somebody outside may have filled the queue. Precondition: nobody of the job runs, and nobody waits to be told of a message (mq_notify).
 */
export function lookAtMessages(queue: Fd, { maxMessages, messageBytes }: QueueAttributes): QueueMessage[] {
  const recordBytes = TURN_RECORD_HEAD_BYTES + Math.ceil(messageBytes / 8) * 8;
  const memoryBytes = TURN_HEAD_BYTES + recordBytes * maxMessages;
  const memory = makeMemfd(Buffer.from("cairn-messages"), MFD_CLOEXEC);
  try {
    ftruncateSync(memory, memoryBytes);
    turn(queue, memory, { memoryBytes, messageBytes, recordBytes, mostMessages: maxMessages });
    const head = readAt(memory, 0, TURN_HEAD_BYTES);
    const lost = Number(head.readBigInt64LE(8));
    if (lost !== 0) throw new CairnError("io", `A message could not be put back into its queue: ${errnoName(-lost)}`);
    return Array.from({ length: Number(head.readBigUInt64LE(0)) }, (_, index) => {
      const record = TURN_HEAD_BYTES + index * recordBytes;
      const of = readAt(memory, record, TURN_RECORD_HEAD_BYTES);
      const content = readAt(memory, record + TURN_RECORD_HEAD_BYTES, Number(of.readBigUInt64LE(0)));
      return { priority: of.readUInt32LE(8), content };
    });
  } finally {
    closeSync(memory);
  }
}

function turn(queue: Fd, memory: Fd, options: Omit<Parameters<typeof turnProgram>[0], "queue" | "memory">): void {
  const program = executableInMemory("cairn-guard", turnProgram({ queue, memory, ...options }));
  countStep("queue");
  try {
    const pid = spawnProgram({
      program,
      arguments: [Buffer.from("cairn-guard")],
      environment: [],
      // A descriptor duplicated onto itself loses its close-on-exec mark in the child alone.
      descriptors: [queue, memory].map((fd) => ({ from: fd, to: fd })),
    });
    countStep("queue");
    if (tryReap(asTid(pid))) return;
  } finally {
    closeSync(program);
    countStep("queue");
  }
  throw new CairnError(
    "unsupported",
    "The checkpoint was given up: a message queue is filled by somebody outside the job; the job runs on",
    {
      hint: "What was taken out goes back as soon as there is room. Try again",
    },
  );
}

function readAt(fd: Fd, at: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  for (let done = 0; done < lengthBytes;) done += readSync(fd, bytes, done, lengthBytes - done, at + done);
  return bytes;
}
