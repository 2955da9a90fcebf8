/** The machine and the program that run us: architecture, kernel, Node. Pure: facts come in, findings go out. */
import { limited, no, ok } from "./check.ts";
import type { CheckDefinition, Finding } from "./check.ts";

export const architectureCheck: CheckDefinition = {
  name: "architecture",
  title: "Processor architecture",
  why: "registers and system calls differ by architecture",
  essential: true,
};

export function judgeArchitecture(arch: string): Finding {
  if (arch === "x64") return ok("x86-64");
  return no(arch, "Run on an x86-64 machine; other architectures are not supported yet");
}

export const kernelCheck: CheckDefinition = {
  name: "kernel",
  title: "Linux kernel",
  why: "older kernels cannot tell or set all of a process's state",
  essential: true,
};

export function judgeKernel(platform: string, release: string): Finding {
  if (platform !== "linux") return no(platform, "Run on Linux, or in a Linux virtual machine");
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const version = major * 1000 + minor;
  // PTRACE_GET_RSEQ_CONFIGURATION came with 5.13; clone3's set_tid (5.5) and pidfd_getfd (5.6) before it.
  if (version < 5013) return no(release, "Boot Linux 5.13 or newer");
  // PAGEMAP_SCAN.
  if (version < 6007) return limited(release, "Linux 6.7 or newer lets Cairn find the pages to save faster");
  return ok(release);
}

export const nodeCheck: CheckDefinition = {
  name: "node",
  title: "Node.js",
  why: "Cairn runs on it",
  essential: true,
};

export function judgeNode(version: string): Finding {
  const [major = 0] = version.replace(/^v/, "").split(".").map(Number);
  return major >= 24 ? ok(version) : no(version, "Install Node 24 or newer, or start Cairn by bin/cairn, which brings its own");
}

export const containerCheck: CheckDefinition = {
  name: "container",
  title: "Container and seccomp",
  why: "containers often forbid the system calls that a restart needs",
  essential: false,
};

export function judgeContainer(seccompMode: number, container: string | null): Finding {
  const where = container ?? "no container";
  if (seccompMode === 0) return ok(`${where}, no seccomp filter`);
  return limited(
    `${where}, system calls are filtered (seccomp mode ${seccompMode})`,
    "If checks above fail, start the container with --security-opt seccomp=unconfined --cap-add SYS_PTRACE --cap-add CHECKPOINT_RESTORE",
  );
}
