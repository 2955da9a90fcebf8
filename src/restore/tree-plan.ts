/**
 * In which order processes have to be made so that each has its parent, session and group: a pure plan.
 *
 * A process is in the session that its parent was in when it was made, unless it calls setsid itself. So:
 * - children that are in the session which their parent left are made before the parent leaves it;
 * - a session whose leader has ended is led by a helper with the leader's pid, which makes the members and exits;
 *   they are orphans then, as they were;
 * - a group whose leader has ended is made by such a helper too.
 */
import { CairnError } from "../base/errors.ts";
import type { ProcessImage } from "../image/mod.ts";

/** The keeper, as the parent of processes whose parent is not in the image. */
export const KEEPER = 0;

export type TreeStep =
  /** `parent` makes `pid`. A helper lives only until its `end`. */
  | { readonly step: "make"; readonly parent: number; readonly pid: number; readonly helper: boolean }
  | { readonly step: "new-session"; readonly pid: number }
  | { readonly step: "join-group"; readonly pid: number; readonly group: number }
  | { readonly step: "end-helper"; readonly parent: number; readonly pid: number };

type Member = Pick<ProcessImage, "pid" | "parentPid" | "processGroup" | "session">;

/** Throws a CairnError (`unsupported`) for relations that can't be made again. */
export function planTree(processes: readonly Member[]): TreeStep[] {
  return new Planner(processes).plan();
}

class Planner {
  readonly #steps: TreeStep[] = [];
  readonly #byPid: Map<number, Member>;
  readonly #children = new Map<number, Member[]>();
  readonly #helpers: { readonly parent: number; readonly pid: number }[] = [];
  readonly #births = new Map<number, number | null>();
  /** Session of everything made so far, at the moment. */
  readonly #sessions = new Map<number, number>([[KEEPER, 0]]);

  constructor(processes: readonly Member[]) {
    this.#byPid = new Map(processes.map((one) => [one.pid, one]));
    for (const one of processes) {
      const parent = this.#byPid.has(one.parentPid) ? one.parentPid : KEEPER;
      this.#children.set(parent, [...(this.#children.get(parent) ?? []), one]);
    }
  }

  plan(): TreeStep[] {
    const tops = this.#children.get(KEEPER) ?? [];
    const isAtHome = (top: Member): boolean => (this.#birthSession(top) ?? 0) === 0;
    for (const top of tops) if (isAtHome(top)) this.#make(KEEPER, top);
    for (const top of tops) if (!isAtHome(top)) this.#makeOrphan(top);
    this.#joinGroups();
    for (const helper of this.#helpers.reverse()) this.#steps.push({ step: "end-helper", ...helper });
    return this.#steps;
  }

  /**
   * The session in which a process has to be made: its own, or for one that starts a session itself, that of the children
   * it left behind in the old one. Null when any will do.
   */
  #birthSession(one: Member): number | null {
    const known = this.#births.get(one.pid);
    if (known !== undefined) return known;
    const wanted = new Set<number>();
    for (const child of this.#children.get(one.pid) ?? []) {
      const session = this.#birthSession(child);
      if (session !== null && session !== one.session) wanted.add(session);
    }
    const starts = one.session === one.pid;
    if (wanted.size > (starts ? 1 : 0)) throw impossible(one);
    const birth = starts ? ([...wanted][0] ?? null) : one.session;
    this.#births.set(one.pid, birth);
    return birth;
  }

  /** Precondition: `parent` is now in the session in which `one` is to be made. */
  #make(parent: number, one: Member): void {
    this.#steps.push({ step: "make", parent, pid: one.pid, helper: false });
    const inherited = this.#sessions.get(parent) ?? 0;
    this.#sessions.set(one.pid, inherited);
    const children = this.#children.get(one.pid) ?? [];
    if (one.session === one.pid) {
      for (const child of children) if (!this.#mayWait(child, one.pid)) this.#make(one.pid, child);
      this.#steps.push({ step: "new-session", pid: one.pid });
      this.#sessions.set(one.pid, one.pid);
    }
    for (const child of children) if (!this.#sessions.has(child.pid)) this.#make(one.pid, child);
  }

  /** Whether a child can be made after its parent has started session `session`. */
  #mayWait(child: Member, session: number): boolean {
    const birth = this.#birthSession(child);
    return birth === null || birth === session;
  }

  /** A top in a session that is not the keeper's: somebody in that session makes it through a helper that ends. */
  #makeOrphan(top: Member): void {
    const leader = this.#helperFor(this.#birthSession(top) ?? top.session);
    this.#make(leader, top);
  }

  /** A helper in session `session`: the dead leader itself, or a child of one who is in it. */
  #helperFor(session: number): number {
    const known = this.#helpers.find((helper) => this.#sessions.get(helper.pid) === session);
    if (known !== undefined) return known.pid;
    if (!this.#byPid.has(session)) {
      this.#addHelper(KEEPER, session, 0);
      this.#steps.push({ step: "new-session", pid: session });
      this.#sessions.set(session, session);
      return session;
    }
    const pid = this.#freePid();
    this.#addHelper(session, pid, session);
    return pid;
  }

  #addHelper(parent: number, pid: number, session: number): void {
    this.#steps.push({ step: "make", parent, pid, helper: true });
    this.#sessions.set(pid, session);
    this.#helpers.push({ parent, pid });
  }

  /** A label for a helper that takes whatever pid it gets. */
  #freePid(): number {
    for (let number = 2; ; number += 1) if (!this.#sessions.has(-number)) return -number;
  }

  /** First every group that is needed gets its founder, then the members join; a founder may have gone on to another group. */
  #joinGroups(): void {
    const members = [...this.#byPid.values()];
    const founded = new Set<number>([0]);
    for (const one of members) {
      const group = one.processGroup;
      if (founded.has(group)) continue;
      founded.add(group);
      const founder = this.#byPid.get(group);
      if (founder === undefined) this.#makeGroup(group, one);
      else if (founder.processGroup === 0) throw lostGroup(founder);
      // setsid made a group already.
      else if (founder.session !== group) this.#steps.push({ step: "join-group", pid: group, group });
    }
    const joining = members.filter(({ pid, processGroup }) => processGroup !== 0 && processGroup !== pid);
    const leavesOwn = (one: Member): boolean => founded.has(one.pid);
    // A group lasts as long as it has a member: founders that leave go last, and leave a helper if there is nobody else.
    for (const one of joining) if (!leavesOwn(one)) this.#steps.push({ step: "join-group", pid: one.pid, group: one.processGroup });
    for (const one of joining) {
      if (leavesOwn(one) && !joining.some((other) => other.processGroup === one.pid && !leavesOwn(other))) {
        this.#addHelper(one.pid, this.#freePid(), one.session);
      }
    }
    for (const one of joining) if (leavesOwn(one)) this.#steps.push({ step: "join-group", pid: one.pid, group: one.processGroup });
  }

  #makeGroup(group: number, member: Member): void {
    // A helper that leads the session leads the group of its number, too.
    if (this.#sessions.get(group) === group) return;
    this.#addHelper(member.pid, group, member.session);
    this.#steps.push({ step: "join-group", pid: group, group });
  }
}

function lostGroup(founder: Member): CairnError {
  return new CairnError(
    "unsupported",
    `Cannot restart process ${founder.pid}: it founded a process group and went back to the one it came from`,
    {
      data: { pid: founder.pid },
      hint: "Such a process is not carried over yet",
    },
  );
}

function impossible(one: Member): CairnError {
  return new CairnError(
    "unsupported",
    `Cannot restart process ${one.pid}: it is in session ${one.session}, and its parent ${one.parentPid} never was`,
    {
      data: { pid: one.pid, session: one.session, parentPid: one.parentPid },
      hint: "This happens under a subreaper inside the job; it is not carried over yet",
    },
  );
}
