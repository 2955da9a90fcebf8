/** What a restart would meet here and now: all that it does before it starts anything. */
import { CairnError } from "../base/errors.ts";
import { compareAll } from "../restore/compare.ts";
import { describeRewinding } from "../restore/output-files.ts";
import type { Job, WholeCheckpoint } from "../store/mod.ts";
import { tryHelper } from "./doctor/helper-process.ts";
import { probeNamespaces, probeRootNamespace } from "./doctor/pids.ts";
import { heldFor } from "./held-connections.ts";
import { openChosen } from "./restart-job.ts";
import type { RestartRequest } from "./restart-job.ts";

export interface RestartPreview {
  readonly job: Job;
  readonly checkpoint: WholeCheckpoint;
  /** What stands against it; empty when it would restart. */
  readonly problems: readonly CairnError[];
  /** What would be otherwise than it was. */
  readonly notes: readonly string[];
  readonly pids: "host" | "namespace";
}

/** Errors: as of a restart that does not come to comparing: `not-found`, `conflict`, `damaged`. */
export async function previewRestart(
  request: Pick<RestartRequest, "store" | "name" | "number" | "moves" | "files" | "pids" | "tcp">,
): Promise<RestartPreview> {
  using chosen = await openChosen(request);
  const { job, checkpoint, reader } = chosen;
  const { problems, notes, files, useNamespace } = compareAll(reader.metadata, {
    ...request,
    held: heldFor(job, checkpoint.number),
    takenUp: job.areConnectionsTakenUp(checkpoint.number),
  });
  const forbidden = useNamespace ? namespaceProblem() : null;
  return {
    job,
    checkpoint,
    problems: forbidden === null ? problems : [...problems, forbidden],
    notes: [...chosen.notes, ...notes, ...describeRewinding(files)],
    pids: useNamespace ? "namespace" : "host",
  };
}

/** Tried for real, in a process of our own that ends with it. */
function namespaceProblem(): CairnError | null {
  const helper = tryHelper();
  if (helper instanceof Error) {
    return new CairnError("permission", `Cannot restart: no process can be traced here (${helper.message})`, {
      hint: "`cairn doctor` says what forbids it and how to allow it",
    });
  }
  using held = helper;
  const finding = process.geteuid?.() === 0 ? probeRootNamespace(held) : probeNamespaces(held);
  if (finding.status === "ok") return null;
  return new CairnError("permission", `Cannot restart: it needs a pid namespace, and ${finding.found}`, {
    hint: finding.remedy ?? "Restart as root",
  });
}
