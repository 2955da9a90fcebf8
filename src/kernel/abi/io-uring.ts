/** io_uring_setup(2), io_uring_enter(2), io_uring_register(2): linux/io_uring.h; the same on x86-64 and arm64. */
import { layout } from "./layout.ts";

export const IORING_SETUP_CQSIZE = 1 << 3;

export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_CQ_RING = 0x8000000;
export const IORING_OFF_SQES = 0x10000000;

export const IORING_ENTER_REGISTERED_RING = 1 << 4;

export const IORING_REGISTER_EVENTFD = 4;
// Newer than the headers of Debian 12.
export const IORING_REGISTER_PBUF_STATUS = 26;

export const IORING_CQE_F_BUFFER = 1 << 0;
export const IORING_CQE_F_MORE = 1 << 1;

/** A request and an answer, where neither IORING_SETUP_SQE128 nor IORING_SETUP_CQE32 makes them larger. */
export const SUBMISSION_BYTES = 64;
export const COMPLETION_BYTES = 16;

export const IO_URING_PARAMETERS = layout("struct io_uring_params", "linux/io_uring.h", 120, {
  sq_entries: [0, 4],
  cq_entries: [4, 4],
  flags: [8, 4],
  features: [20, 4],
  "sq_off.head": [40, 4],
  "sq_off.tail": [44, 4],
  "sq_off.array": [64, 4],
  "cq_off.head": [80, 4],
  "cq_off.tail": [84, 4],
  "cq_off.cqes": [100, 4],
});
