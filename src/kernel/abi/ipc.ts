/** System V IPC: shmget(2), semop(2), msgsnd(2) and their kin; the same on x86-64 and arm64. */

// Making, looking and removing: linux/ipc.h
export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const IPC_NOWAIT = 0o4000;
export const IPC_RMID = 0;
export const IPC_SET = 1;
export const IPC_STAT = 2;

// Shared memory: linux/shm.h
export const SHM_RDONLY = 0o10000;
export const SHM_LOCK = 11;
export const SHM_INFO = 14;
export const SHM_STAT_ANY = 15;

// Semaphores: linux/sem.h
export const GETPID = 11;
export const GETALL = 13;
export const SETVAL = 16;
export const SEM_INFO = 19;
export const SEM_STAT_ANY = 20;

// Message queues: linux/msg.h
export const MSG_INFO = 12;
export const MSG_STAT_ANY = 13;
export const MSG_NOERROR = 0o10000;
export const MSG_COPY = 0o40000;
