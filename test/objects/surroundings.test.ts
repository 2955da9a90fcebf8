import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps directory, umask, environment, limits, scheduling and prctl settings", { fixture: "surroundings" });
objectCase("a checkpoint keeps a process that forbids core dumps", { fixture: "not-dumpable", needsRoot: true });
objectCase("a checkpoint keeps another root directory", { fixture: "new-root", needsRoot: true });
objectCase("a checkpoint keeps users, groups and capabilities that differ by process", { fixture: "credentials", needsRoot: true });
objectCase("a checkpoint keeps seccomp filters of processes and threads, and how those share them", {
  fixture: "seccomp",
  mayBeRefused: /runs under a seccomp filter\n.*Only root/,
});
