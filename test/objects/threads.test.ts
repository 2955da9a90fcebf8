import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps three hundred threads, their storage and what they wait for", { fixture: "threads" });
objectCase("a checkpoint keeps general, vector, x87 and control registers", { fixture: "registers" });
objectCase("a checkpoint keeps the tile registers of AMX", { fixture: "amx" });
objectCase("a checkpoint keeps what the kernel holds for one thread: bases, rseq, robust list, scheduling", { fixture: "thread-state" });
objectCase("a checkpoint keeps a process whose first thread has ended", { fixture: "leader-gone", mayBeRefused: /first thread/ });
objectCase("a checkpoint keeps the C library's own state: stdio, locale, heap", { fixture: "libc-state" });
objectCase("a checkpoint keeps ids, capabilities, no_new_privs and memory policy that one thread has for itself", {
  fixture: "thread-rarities",
});
objectCase("a checkpoint keeps what threads and processes do to one another by their numbers", { fixture: "renumbered" });
