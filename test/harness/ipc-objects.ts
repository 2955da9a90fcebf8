/** System V IPC objects outlive whoever made them: fixtures note what they make (test/programs/ipc.h), and tests remove it. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { Place } from "./place.ts";

const TABLES = { m: "shm", s: "sem", q: "msg" } as const;
const ID_COLUMNS = { m: "shmid", s: "semid", q: "msqid" } as const;
type Kind = keyof typeof TABLES;

/** Ids that are there now, by kind: `m 5`. */
export function ipcObjects(): Set<string> {
  const found = new Set<string>();
  for (const kind of Object.keys(TABLES) as Kind[]) {
    const path = `/proc/sysvipc/${TABLES[kind]}`;
    if (!existsSync(path)) continue;
    const [head = "", ...lines] = readFileSync(path, "utf8").trim().split("\n");
    const column = head.trim().split(/\s+/).indexOf(ID_COLUMNS[kind]);
    for (const line of lines) found.add(`${kind} ${line.trim().split(/\s+/)[column]}`);
  }
  return found;
}

/** What the place's fixtures have made and is there still. */
export function ipcObjectsOf(place: Place): string[] {
  const there = ipcObjects();
  return [...new Set(place.read("ipc-ids").split("\n"))].filter((one) => there.has(one));
}

export function removeIpcObjects(place: Place): void {
  for (const one of ipcObjectsOf(place)) {
    const [kind = "", id = ""] = one.split(" ");
    spawnSync("ipcrm", [`-${kind}`, id]);
  }
}
