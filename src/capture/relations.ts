/**
 * Who is whose parent, group and session in a frozen tree. What leads out of the tree becomes 0; a group or session of the tree's own
 * whose leader has ended keeps its number, for a restart makes it again.
 *
 * A leader that has ended does not tell whether it was the tree's: in `producer | cairn run consumer` the group bears the producer's
 * number, and the terminal's keys must find the job in the restarter's group later, as they find it now.
 */
import type { JobPid, Pid } from "../base/ids.ts";
import { asJobPid, asPid } from "../base/ids.ts";
import { encodeName } from "../base/names.ts";
import type { LiveProcessImage, ProcessImage } from "../image/mod.ts";
import { readStat, readStatus } from "../kernel/procfs/mod.ts";
import type { ProcessStat } from "../kernel/procfs/mod.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { JobPids } from "./job-pids.ts";
import type { TreeSelection } from "./mod.ts";
import type { WaitReport } from "./wait-reports.ts";

const SIGCHLD = 17;

/** A frozen tree, or one that is only looked at. */
interface Tree {
  readonly processes: readonly { readonly pid: Pid }[];
  readonly zombies: readonly Pid[];
}

interface Member {
  readonly stat: ProcessStat;
  readonly isZombie: boolean;
  /** As the job sees them; 0 where the namespace does not show them. */
  readonly group: number;
  readonly session: number;
}

/** The group and the session that the tree has from outside, whether or not their leaders live; null where that can't be told. */
interface Outside {
  readonly group: Pid | null;
  readonly session: Pid | null;
}

export class Relations {
  readonly #members = new Map<Pid, Member>();
  readonly #pids: JobPids;
  readonly #outside: Outside;

  constructor(tree: Tree, pids: JobPids, selection: TreeSelection) {
    this.#pids = pids;
    const zombies = new Set(tree.zombies);
    for (const pid of [...tree.processes.map((one) => one.pid), ...tree.zombies]) {
      const stat = readStat(pid);
      if (stat === null) {
        if (zombies.has(pid)) continue; // Reaped by a parent outside the tree.
        throw new ProcessGone(pid);
      }
      const status = readStatus(pid);
      this.#members.set(pid, {
        stat,
        isZombie: zombies.has(pid),
        group: status?.namespacePgids.at(-1) ?? stat.processGroup,
        session: status?.namespaceSids.at(-1) ?? stat.session,
      });
    }
    // Now, and not when it is asked for: the snapshots of processes are in their groups, and no part of the tree.
    this.#outside = this.#outsideOf(selection);
    for (const { stat, group } of this.#members.values()) {
      pids.addGroup(stat.processGroup, this.#inside(stat.processGroup, group, this.#outside.group));
    }
  }

  /**
   * The keeper is in the group and the session in which its job was started. A process that we did not start was put into its group by
   * a shell, unless it is a daemon: that one left the shell's session, and may be the only one left in its own.
   */
  #outsideOf(selection: TreeSelection): Outside {
    if (selection.kind === "keeper") {
      const keeper = readStat(selection.keeperPid);
      return { group: keeper?.processGroup ?? null, session: keeper?.session ?? null };
    }
    const root = this.#members.get(selection.rootPid)?.stat;
    const inShellsSession = root !== undefined && !this.#pids.has(root.session) && (root.session === 0 || readStat(root.session) !== null);
    return { group: inShellsSession ? root.processGroup : null, session: null };
  }

  /** Parents before children, in the order of birth otherwise. */
  parentsFirst(): Pid[] {
    const children = new Map<Pid, Pid[]>();
    const tops: Pid[] = [];
    for (const [pid, { stat }] of this.#members) {
      if (!this.#members.has(stat.parentPid)) tops.push(pid);
      else children.set(stat.parentPid, [...(children.get(stat.parentPid) ?? []), pid]);
    }
    const ordered: Pid[] = [];
    const queue = [...tops];
    for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
      ordered.push(pid);
      queue.push(...(children.get(pid) ?? []));
    }
    return ordered;
  }

  /** Those of its children that are in the tree and live, with the numbers that the job knows them by. */
  livingChildren(parent: Pid): Map<Pid, JobPid> {
    const children = new Map<Pid, JobPid>();
    for (const [pid, { stat, isZombie }] of this.#members) {
      if (stat.parentPid === parent && !isZombie) children.set(pid, this.#pids.of(pid));
    }
    return children;
  }

  /** The job's root: the process that was started, or the first of those that are left. */
  rootOf(selection: TreeSelection): JobPid {
    if (this.#members.has(selection.rootPid)) return this.#pids.of(selection.rootPid);
    return this.#pids.of(this.parentsFirst()[0] ?? asPid(0));
  }

  /** `reports` are those of processes whose parents have been asked. */
  describe(pid: Pid, alive: LiveProcessImage | null, stopSignal: number, reports: ReadonlyMap<Pid, WaitReport>): ProcessImage {
    const member = this.#members.get(pid);
    if (member === undefined) throw new ProcessGone(pid);
    const { stat, isZombie } = member;
    return {
      pid: this.#pids.of(pid),
      parentPid: this.#pids.of(stat.parentPid),
      processGroup: this.#inside(stat.processGroup, member.group, this.#outside.group),
      session: this.#inside(stat.session, member.session, this.#outside.session),
      state: isZombie ? "zombie" : stopSignal !== 0 ? "stopped" : "running",
      stopSignal,
      ...this.#report(pid, stopSignal !== 0, reports.get(pid)),
      exitStatus: isZombie ? stat.exitCode : 0,
      exitSignal: stat.exitSignal < 0 ? SIGCHLD : stat.exitSignal,
      comm: stat.comm ?? encodeName(Buffer.alloc(0)),
      alive,
    };
  }

  #report(pid: Pid, isStopped: boolean, report: WaitReport | undefined): Pick<ProcessImage, "waitReport"> {
    if (report !== undefined) return { waitReport: report };
    const parent = this.#members.get(pid)?.stat.parentPid;
    return isStopped && parent !== undefined && this.#members.has(parent) ? { waitReport: "none" } : {};
  }

  /** `own` as we number it, `seen` as the job does. */
  #inside(own: Pid, seen: number, outside: Pid | null): JobPid {
    const known = this.#pids.of(own);
    if (known !== 0) return known;
    // Somebody outside the tree leads it, or did.
    if (own === asPid(0) || own === outside || readStat(own) !== null) return asJobPid(0);
    return asJobPid(seen);
  }
}
