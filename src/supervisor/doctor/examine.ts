/** All checks, in the order in which a reader wants them. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { asPid } from "../../base/ids.ts";
import { readStatus, readSystemFacts } from "../../kernel/procfs/mod.ts";
import { no, runCheck } from "./check.ts";
import { clockCheck, probeTimeNamespace } from "./clocks.ts";
import type { Check, CheckDefinition, Finding } from "./check.ts";
import { tryHelper } from "./helper-process.ts";
import type { FrozenHelper } from "./helper-process.ts";
import {
  architectureCheck,
  containerCheck,
  judgeArchitecture,
  judgeContainer,
  judgeKernel,
  judgeNode,
  kernelCheck,
  nodeCheck,
} from "./machine.ts";
import { probeScan, scanCheck } from "./memory-scan.ts";
import { namespaceCheck, probeNamespaces, probeSetTid, restartPossible, setTidCheck } from "./pids.ts";
import { directCheck, probeDirect, probeStore, storeCheck } from "./storage.ts";
import { judgePtrace, judgeScope, memoryCheck, pidfdCheck, probeMemory, probePidfd, ptraceCheck, scopeCheck } from "./tracing.ts";

const CAP_SYS_PTRACE = 19n;

export function examine(storeDirectory: string): Check[] {
  const status = readStatus(asPid(process.pid));
  const capabilities = status?.capabilities.effective ?? 0n;
  const helper = tryHelper();
  try {
    return [
      runCheck(architectureCheck, () => judgeArchitecture(process.arch)),
      runCheck(kernelCheck, () => judgeKernel(process.platform, release())),
      runCheck(nodeCheck, () => judgeNode(process.version)),
      runCheck(ptraceCheck, () => judgePtrace(helper)),
      runCheck(scopeCheck, () => judgeScope(readSystemFacts().yamaPtraceScope, ((capabilities >> CAP_SYS_PTRACE) & 1n) === 1n)),
      helperCheck(memoryCheck, helper, probeMemory),
      helperCheck(pidfdCheck, helper, probePidfd),
      ...pidChecks(helper),
      runCheck(scanCheck, probeScan),
      runCheck(storeCheck, () => probeStore(storeDirectory)),
      runCheck(directCheck, () => probeDirect(storeDirectory)),
      runCheck(containerCheck, () => judgeContainer(status?.seccompMode ?? 0, containerKind())),
    ];
  } finally {
    if (!(helper instanceof Error)) helper[Symbol.dispose]();
  }
}

function helperCheck(definition: CheckDefinition, helper: FrozenHelper | Error, probe: (helper: FrozenHelper) => Finding): Check {
  return runCheck(definition, () =>
    helper instanceof Error ? no("cannot be tried without tracing", "Make tracing work first") : probe(helper),
  );
}

/** Last of the helper's checks: afterwards it is in namespaces of its own. Each way alone will do; without both no restart is possible. */
function pidChecks(helper: FrozenHelper | Error): Check[] {
  const setTid = runCheck(setTidCheck, probeSetTid);
  const namespaces = helperCheck(namespaceCheck, helper, probeNamespaces);
  const essential = !restartPossible(namespaces, setTid);
  return [{ ...setTid, essential }, { ...namespaces, essential }, helperCheck(clockCheck, helper, probeTimeNamespace)];
}

function containerKind(): string | null {
  if (existsSync("/.dockerenv")) return "Docker container";
  if (existsSync("/run/.containerenv")) return "Podman container";
  if (process.env["KUBERNETES_SERVICE_HOST"] !== undefined) return "Kubernetes pod";
  if (process.env["APPTAINER_CONTAINER"] !== undefined || process.env["SINGULARITY_CONTAINER"] !== undefined) return "Apptainer container";
  try {
    return /\b(lxc|docker|kubepods|containerd)\b/.exec(readFileSync("/proc/1/cgroup", "latin1"))?.[1] ?? null;
  } catch {
    return null;
  }
}
