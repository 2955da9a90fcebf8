import { objectCase, removeIpcObjects as cleanUp } from "../harness/mod.ts";

objectCase("a checkpoint keeps System V shared memory, whole and in part, and who has it attached", {
  fixture: "sysv-shared-memory",
  cleanUp,
});
objectCase("a checkpoint keeps a System V segment that was removed and is attached still", {
  fixture: "sysv-destroyed",
  // The key that it had before it was removed is in its name.
  mayDiffer: /SYSV/,
  cleanUp,
});
objectCase("a checkpoint keeps System V semaphores and who waits for them", { fixture: "sysv-semaphores", cleanUp });
objectCase("a checkpoint keeps System V messages in their order and who waits for one", { fixture: "sysv-messages", cleanUp });
