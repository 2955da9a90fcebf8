import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps positions, flags and sharing of open files", { fixture: "files" });
objectCase("a checkpoint keeps deleted open files with their content", {
  fixture: "deleted-files",
  // They come back as files that never had a name, or under another that they have.
  mayDiffer: /work\/|shared memory/,
});
objectCase("a checkpoint keeps open directories, O_PATH descriptors, devices and files of /proc", { fixture: "directories" });
objectCase("a checkpoint keeps directories and files that /proc shows of the job's own processes and threads", { fixture: "proc-files" });
objectCase("a checkpoint keeps locks on files", { fixture: "locks" });
objectCase("a checkpoint keeps owner and signal of a descriptor", { fixture: "descriptor-owner" });
