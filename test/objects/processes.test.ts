import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps children, grandchildren, an orphan and zombies with their statuses", { fixture: "tree" });
objectCase("a checkpoint keeps sessions and process groups, those of dead leaders too", { fixture: "sessions" });
objectCase("a checkpoint keeps stopped processes stopped", { fixture: "stopped" });
objectCase("a checkpoint keeps subreapers, parent-death signals and exit signals", { fixture: "adoption" });
objectCase("a checkpoint keeps a vfork in progress", { fixture: "vfork", mayBeRefused: /vfork/ });
objectCase("a checkpoint keeps three generations of seventy processes with a pipe between each two", { fixture: "crowd" });
objectCase("a checkpoint keeps pidfds of processes that live, have ended, or were reaped", { fixture: "pidfds" });
