/**
 * How the kernel marks a system call that was interrupted (include/linux/errno.h): values that no program ever
 * sees, in rax, while the thread is stopped inside the call.
 */
const ERESTARTSYS = -512;
const ERESTARTNOINTR = -513;
export const ERESTARTNOHAND = -514;
const ERESTART_RESTARTBLOCK = -516;
const SYS_RESTART_SYSCALL = 219;
const EINTR = -4;

export const REISSUE = { none: -1, same: -2 } as const;

/**
 * What the kernel would issue when the thread goes on with no signal to handle: nothing, the same call, or
 * restart_syscall (a positive number), which knows how much of a relative time was left.
 */
export function reissueOf(syscall: number, result: number): number {
  if (syscall < 0) return REISSUE.none;
  if (result === ERESTARTSYS || result === ERESTARTNOINTR || result === ERESTARTNOHAND) return REISSUE.same;
  if (result === ERESTART_RESTARTBLOCK) return SYS_RESTART_SYSCALL;
  return REISSUE.none;
}

/**
 * System calls that give EINTR after any stop, although no handler ran (signal(7), "Interruption of system calls ... by
 * stop signals"): epoll_wait, epoll_pwait, epoll_pwait2, semop, semtimedop, rt_sigtimedwait, io_getevents, io_pgetevents,
 * msgrcv, msgsnd is restarted but costs nothing here, io_uring_enter (which has then submitted nothing), read on an inotify descriptor, and
 * on a socket with a time limit (SO_RCVTIMEO, SO_SNDTIMEO) whatever waits: read, write, readv, writev, connect, accept, sendto, recvfrom,
 * sendmsg, recvmsg, accept4, recvmmsg, sendmmsg.
 */
const STOPS_WITH_EINTR: ReadonlySet<number> = new Set([
  0, 1, 19, 20, 42, 43, 44, 45, 46, 47, 65, 69, 70, 128, 208, 220, 232, 281, 288, 299, 307, 333, 426, 441,
]);

/**
 * Whether a thread stopped by us shows an EINTR that only our stop explains. It is then marked ERESTARTNOHAND instead: the
 * kernel issues the call again, or gives EINTR if a handler does run, which is exactly what would have happened without us.
 */
export function isEintrOfOurStop(syscall: number, result: number): boolean {
  return result === EINTR && STOPS_WITH_EINTR.has(syscall);
}
