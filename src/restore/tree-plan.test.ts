import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { KEEPER, planTree } from "./tree-plan.ts";
import type { TreeStep } from "./tree-plan.ts";

interface Member {
  pid: number;
  parentPid: number;
  processGroup: number;
  session: number;
}

interface Made {
  parent: number;
  session: number;
  group: number;
}

/** What the kernel would make of a plan: fork inherits session and group, setsid and setpgid have their rules. */
function carryOut(steps: readonly TreeStep[]): Map<number, Made> {
  const made = new Map<number, Made>([[KEEPER, { parent: -1, session: 0, group: 0 }]]);
  const get = (pid: number): Made => {
    const found = made.get(pid);
    assert.ok(found !== undefined, `process ${pid} is there`);
    return found;
  };
  for (const step of steps) {
    if (step.step === "make") {
      assert.ok(!made.has(step.pid), `process ${step.pid} is made once`);
      const { session, group } = get(step.parent);
      made.set(step.pid, { parent: step.parent, session, group });
    } else if (step.step === "new-session") {
      const one = get(step.pid);
      assert.notEqual(one.group, step.pid, "a group leader cannot start a session");
      Object.assign(one, { session: step.pid, group: step.pid });
    } else if (step.step === "join-group") {
      const one = get(step.pid);
      assert.notEqual(one.session, step.pid, "a session leader keeps its group");
      const isFounder = step.group === step.pid;
      const members = [...made.values()].filter((other) => other.group === step.group);
      assert.ok(
        isFounder || members.some((other) => other.session === one.session),
        `group ${step.group} is in the session of process ${step.pid}`,
      );
      one.group = step.group;
    } else {
      for (const other of made.values()) if (other.parent === step.pid) other.parent = KEEPER;
      made.delete(step.pid);
    }
  }
  return made;
}

function check(members: readonly Member[]): void {
  const made = carryOut(planTree(members));
  assert.equal(made.size, members.length + 1, "no helper is left");
  for (const one of members) {
    const is = made.get(one.pid);
    assert.deepEqual(is, { parent: one.parentPid, session: one.session, group: one.processGroup }, `process ${one.pid}`);
  }
}

test("a single process in the keeper's session and group needs one step", () => {
  assert.deepEqual(planTree([{ pid: 10, parentPid: 0, processGroup: 0, session: 0 }]), [
    { step: "make", parent: KEEPER, pid: 10, helper: false },
  ]);
});

test("a shell's jobs get their groups, a daemon the session of its dead leader", () => {
  check([
    { pid: 10, parentPid: 0, processGroup: 10, session: 10 },
    { pid: 11, parentPid: 10, processGroup: 11, session: 10 },
    { pid: 12, parentPid: 10, processGroup: 11, session: 10 },
    { pid: 13, parentPid: 0, processGroup: 30, session: 30 },
    { pid: 14, parentPid: 10, processGroup: 40, session: 10 },
  ]);
});

test("a child that stayed behind when its parent started a session is made before", () => {
  check([
    { pid: 10, parentPid: 0, processGroup: 10, session: 10 },
    { pid: 11, parentPid: 10, processGroup: 11, session: 11 },
    { pid: 12, parentPid: 11, processGroup: 10, session: 10 },
  ]);
});

test("an orphan of a session whose leader lives is made in that session", () => {
  check([
    { pid: 10, parentPid: 0, processGroup: 10, session: 10 },
    { pid: 11, parentPid: 0, processGroup: 10, session: 10 },
  ]);
});

/** A history of forks, setsids, setpgids and exits, as a program could make it; what is left of it is the input. */
const historyArbitrary = fc.array(
  fc.record({ what: fc.constantFrom("fork", "fork", "fork", "setsid", "setpgid", "join", "exit"), who: fc.nat(1000), whom: fc.nat(1000) }),
  { maxLength: 60 },
);

function live(history: readonly { what: string; who: number; whom: number }[]): Member[] {
  const members: Member[] = [{ pid: 100, parentPid: 0, processGroup: 0, session: 0 }];
  let next = 101;
  for (const { what, who, whom } of history) {
    const one = members[who % members.length] as Member;
    const other = members[whom % members.length] as Member;
    if (what === "fork") members.push({ pid: next++, parentPid: one.pid, processGroup: one.processGroup, session: one.session });
    // setsid fails while any process is in a group of the caller's number.
    if (what === "setsid" && !members.some((each) => each.processGroup === one.pid))
      Object.assign(one, { session: one.pid, processGroup: one.pid });
    if (what === "setpgid" && one.session !== one.pid) one.processGroup = one.pid;
    if (what === "join" && one.session !== one.pid && one.session === other.session && other.processGroup !== 0)
      one.processGroup = other.processGroup;
    if (what === "exit" && members.length > 1 && one.pid !== 100) {
      for (const each of members) if (each.parentPid === one.pid) each.parentPid = 0;
      members.splice(members.indexOf(one), 1);
    }
  }
  return members;
}

test("whatever a program's forks, setsids, setpgids and exits leave behind can be made again", () => {
  fc.assert(
    fc.property(historyArbitrary, (history) => check(live(history))),
    { numRuns: 2000 },
  );
});
