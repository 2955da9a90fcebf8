import { objectCase } from "../harness/mod.ts";

objectCase("a system call that blocks goes on after a checkpoint as if nothing had happened", { fixture: "blocked-calls" });
objectCase("a system call with a time limit ends after its time, neither before nor with an error", { fixture: "timed-calls" });
objectCase("a wait for a signal ends by that signal and by nothing else", { fixture: "waiting-for-signals" });
objectCase("a wait that was stopped by a checkpoint before goes on after a restart without an error", {
  fixture: "waits-stopped-twice",
  before: 2,
});
