/**
 * What the end-to-end tests share. A `Place` is a test's own folder, store and set of processes; a `Job` is a program
 * under Cairn in it; a `Program` is a real program with its uninterrupted result; an object case is a fixture that
 * checks one kind of kernel object by itself.
 */
export { Conversation, type Role } from "./conversation.ts";
export { ipcObjects, ipcObjectsOf, removeIpcObjects } from "./ipc-objects.ts";
export { Job, progressBytes, touch, type JobOptions } from "./job.ts";
export { noteInMatrix, type MatrixNote } from "./matrix.ts";
export { removeMessageQueues } from "./message-queues.ts";
export { objectCase, type ObjectCase } from "./object-case.ts";
export { CAIRN, Place, REPOSITORY, withoutEngine, type Outcome, type SpawnOptions, type Started } from "./place.ts";
export {
  describeProcesses,
  isAlive,
  isOver,
  killIfAlive,
  processFacts,
  stoppedOrTraced,
  TAG_VARIABLE,
  type ProcessFacts,
} from "./processes.ts";
export { compile, compileC, findTool, PROGRAMS, works, type Compiled } from "./programs.ts";
export { PEER_ADDRESSES, TwoMachines, whyNoMachines } from "./two-machines.ts";
export { randomForTest, seededRandom, type Random } from "./random.ts";
export { until, untilOrNot } from "./wait.ts";
export { cutAgainAndAgain, cutOnce, runUninterrupted, type Program, type Result } from "./program.ts";
export { asObject, expectShape, listAt, numberAt, objectAt, parseObject, textAt, type Json } from "./json.ts";
