/**
 * A tracee is a process or thread of the job that this process has seized. This folder starts jobs under a
 * keeper, stops and resumes threads, and runs system calls inside them; what it does to a tracee undoes itself,
 * even when this process is killed half-way.
 */
export { launchUnderKeeper, watchKeeper } from "./keeper.ts";
export type { Keeper, KeeperEvents, LaunchRequest } from "./keeper.ts";
export { reportEnds } from "./unreported.ts";
