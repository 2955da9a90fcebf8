/** Branded numbers: a pid can't be passed where a descriptor is wanted, nor an address of the tracee where an offset of ours is. */
declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** A process as this process sees it (not as a process in another pid namespace does). */
export type Pid = Branded<number, "Pid">;
/** A thread as this process sees it. */
export type Tid = Branded<number, "Tid">;
/** A descriptor of this process. */
export type Fd = Branded<number, "Fd">;
/** An address in a tracee's memory. */
export type RemoteAddress = Branded<bigint, "RemoteAddress">;
/** A pid or tid as the job itself sees it, in its own pid namespace: what an image holds. */
export type JobPid = Branded<number, "JobPid">;

export const asPid = (value: number): Pid => value as Pid;
export const asTid = (value: number): Tid => value as Tid;
export const asFd = (value: number): Fd => value as Fd;
export const asRemoteAddress = (value: bigint): RemoteAddress => value as RemoteAddress;
export const asJobPid = (value: number): JobPid => value as JobPid;
