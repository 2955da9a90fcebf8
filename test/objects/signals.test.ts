import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps signal handlers, their flags and all masks", { fixture: "signal-actions" });
objectCase("a checkpoint keeps queued signals of the process and of each thread in their order", { fixture: "signal-queue" });
objectCase("a checkpoint inside nested signal handlers lets each return to where it came from", { fixture: "signal-frames" });
