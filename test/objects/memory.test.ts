import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps the heap, which grows on afterwards", { fixture: "heap" });
objectCase("a checkpoint keeps private memory, and it stays anonymous memory", { fixture: "private-memory" });
objectCase("a checkpoint keeps memory that relatives share", { fixture: "shared-memory" });
objectCase("a checkpoint keeps mapped files, private and shared", { fixture: "mapped-files" });
objectCase("a checkpoint keeps files that are changed through a mapping once it is writable again", { fixture: "mapped-later" });
objectCase("a checkpoint keeps advice about memory, and the content of memory that a fork would not see", { fixture: "memory-advice" });
objectCase("a checkpoint keeps a lock on all memory to come", { fixture: "lock-all" });
objectCase("a checkpoint keeps the stack, which grows on afterwards up to its limit", { fixture: "stack" });
objectCase("a checkpoint keeps the address space as a whole and what /proc says of the process", { fixture: "maps" });
