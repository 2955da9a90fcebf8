/** POSIX message queues outlive whoever made them: fixtures note the names of theirs in the file `queues`, and tests remove what is left. */
import { SyscallError } from "../../src/base/errors.ts";
import { removeQueue } from "../../src/kernel/message-queues.ts";
import type { Place } from "./place.ts";

export function removeMessageQueues(place: Place): void {
  for (const name of new Set(
    place
      .read("queues")
      .split("\n")
      .filter((line) => line !== ""),
  )) {
    try {
      removeQueue(Buffer.from(name));
    } catch (error) {
      if (!(error instanceof SyscallError) || error.errnoName !== "ENOENT") throw error;
    }
  }
}
