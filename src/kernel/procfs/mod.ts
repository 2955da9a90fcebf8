/**
 * /proc as values. For each file a `parseX`, a pure function over its text, and a `readX`, which reads it now and
 * gives `null` when the process has ended. A `Name` is a path or comm with its exact bytes; a raw string has one
 * character per byte.
 */
export {
  parseAuxiliaryVector,
  readAuxiliaryVector,
  readCommandLine,
  readCoreDumpFilter,
  readCredentialLines,
  readEnvironment,
  readInnermostTid,
  readOomScoreAdjustment,
  readPersonality,
  readSeccomp,
  readThreadFlags,
  readTimerSlackNs,
  readVoluntarySwitches,
  splitAtNul,
} from "./attributes.ts";
export type { SeccompState } from "./attributes.ts";
export { classifyLink, listDescriptors, readDescriptorTarget, readProcessLink } from "./descriptors.ts";
export type { DescriptorTarget, ProcessLink } from "./descriptors.ts";
export { parseDescriptorInfo, readDescriptorInfo } from "./fdinfo.ts";
export type { DescriptorInfo, EpollTarget, FanotifyMark, InotifyWatch, IoUringInfo } from "./fdinfo.ts";
export { decodeDevice, decodeKernelDevice } from "./fields.ts";
export { LIMIT_LABELS, parseLimits, readLimits } from "./limits.ts";
export type { ResourceLimit } from "./limits.ts";
export type { FileLock } from "./lock-line.ts";
export { parseLocks, readLocks } from "./locks.ts";
export { parseMaps, readMaps, resolveMappedName } from "./maps.ts";
export type { MapsEntry, SpecialMapping } from "./maps.ts";
export { readMemoryRooms } from "./memory-cgroup.ts";
export type { MemoryRoom } from "./memory-cgroup.ts";
export { parseMountInfo, readMountInfo } from "./mountinfo.ts";
export type { MountInfo } from "./mountinfo.ts";
export { nameFromRaw } from "./name.ts";
export { NAMESPACE_LINKS, readNamespaces, readThreadNamespace } from "./namespaces.ts";
export type { NamespaceLink } from "./namespaces.ts";
export { parseVmFlags, readVmFlags } from "./smaps.ts";
export type { VmFlags } from "./smaps.ts";
export { hasEnded, parseStat, readComm, readStat, readThreadStat } from "./stat.ts";
export type { ProcessStat } from "./stat.ts";
export { hasMemoryPolicy, parseNumaMaps, readNumaMaps } from "./numa-maps.ts";
export type { NumaMapping } from "./numa-maps.ts";
export { parseStatus, readStatus, readThreadStatus } from "./status.ts";
export type { CapabilitySets, CredentialIds, ProcessStatus } from "./status.ts";
export { parseProcessor, readSystemFacts } from "./system.ts";
export type { SystemFacts } from "./system.ts";
export { listProcesses, listThreads, parseChildren, parseSyscall, readAllChildren, readChildren, readSyscall } from "./tasks.ts";
export type { BlockingCall } from "./tasks.ts";
export { formatTimeOffsets, parseTimeOffsets, readTimeOffsets } from "./time-offsets.ts";
export type { ClockOffsets } from "./time-offsets.ts";
export { parseTimers, readTimers } from "./timers.ts";
export type { PosixTimer } from "./timers.ts";
