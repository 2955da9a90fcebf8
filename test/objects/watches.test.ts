import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps locks of open file descriptions, and leases, without breaking them", { fixture: "leases" });
objectCase("a checkpoint keeps what inotify instances watch, under the same numbers", { fixture: "inotify" });
objectCase("a checkpoint keeps what fanotify groups have marked", { fixture: "fanotify", needsRoot: true });
