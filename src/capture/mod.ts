/**
 * Capture turns a living process tree into an image. A `CaptureRequest` names the tree and where its pages go;
 * a `CaptureSummary` tells what was saved, how long the job was paused, and what the user should know.
 */
import type { Pid } from "../base/ids.ts";
import type { ImageWriter } from "../image/mod.ts";

/** Which processes: all that a keeper keeps (itself left out), or a process with its descendants. */
export type TreeSelection =
  | { readonly kind: "keeper"; readonly keeperPid: Pid; readonly rootPid: Pid }
  | { readonly kind: "process"; readonly rootPid: Pid };

export interface CaptureRequest {
  readonly tree: TreeSelection;
  /** Receives the pages; finished by the capture, not committed. */
  readonly writer: ImageWriter;
  /** Called when the image is complete on disk: renames it into place. The job is not ended before this resolves. */
  readonly commit: (summary: CaptureSummary, held: HeldSockets | null) => Promise<void>;
  /** Keep the job frozen until the commit, then end it (SIGKILL to every process of the tree). */
  readonly stop: boolean;
  /** Of a job that is ended: TCP connections that lead out of it stay, held for its restart. */
  readonly holdConnections: boolean;
}

/** TCP connections that outlive the job: which process has them, and which of its descriptors is which open file of the image. */
export interface HeldSockets {
  readonly pid: Pid;
  readonly sockets: readonly { readonly openFile: number; readonly fd: number }[];
}

export interface CaptureSummary {
  readonly pauseMs: number;
  readonly processes: number;
  readonly threads: number;
  readonly mappings: number;
  readonly descriptors: number;
  readonly memoryBytes: number;
  readonly warnings: readonly string[];
}

export { captureTree } from "./capture.ts";
export { examineTree } from "./examine.ts";
export type { Examination } from "./examine.ts";
export type { Loss } from "./losses.ts";
