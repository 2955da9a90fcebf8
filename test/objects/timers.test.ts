import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps the three interval timers", { fixture: "interval-timers" });
objectCase("a checkpoint keeps POSIX timers, their ids and their overruns", {
  fixture: "posix-timers",
  // The C library makes a thread for each expiry.
  mayDiffer: /: (map|thread) /,
});
objectCase("a checkpoint lets no clock run backwards", { fixture: "clocks" });
