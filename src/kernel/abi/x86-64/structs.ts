/**
 * Structures that cross the kernel boundary, as x86-64 lays them out: [offset, bytes] of each field, in bytes. Fields
 * keep their C names; a field of a field is a path, as offsetof takes it. `abi.test.ts` compares all of them with the
 * headers of the machine.
 */
import { layout } from "../layout.ts";

/**
 * The words of `struct user_regs_struct` (NT_PRSTATUS), in order. `orig_rax` is the number of the system call that the
 * thread is in, or -1; `fs_base` is where its thread-local storage lies.
 */
export const REGISTERS = [
  "r15",
  "r14",
  "r13",
  "r12",
  "rbp",
  "rbx",
  "r11",
  "r10",
  "r9",
  "r8",
  "rax",
  "rcx",
  "rdx",
  "rsi",
  "rdi",
  "orig_rax",
  "rip",
  "cs",
  "eflags",
  "rsp",
  "ss",
  "fs_base",
  "gs_base",
  "ds",
  "es",
  "fs",
  "gs",
] as const;
export type RegisterName = (typeof REGISTERS)[number];

export const USER_REGISTERS = layout(
  "struct user_regs_struct",
  "sys/user.h",
  216,
  Object.fromEntries(REGISTERS.map((name, index) => [name, [index * 8, 8]])) as unknown as Readonly<
    Record<RegisterName, readonly [number, 8]>
  >,
);

export const RSEQ_CONFIGURATION = layout("struct ptrace_rseq_configuration", "linux/ptrace.h", 24, {
  rseq_abi_pointer: [0, 8],
  rseq_abi_size: [8, 4],
  signature: [12, 4],
  flags: [16, 4],
});

export const PEEK_SIGINFO_ARGUMENTS = layout("struct ptrace_peeksiginfo_args", "linux/ptrace.h", 16, {
  off: [0, 8],
  flags: [8, 4],
  nr: [12, 4],
});

export const SYSCALL_INFO = layout("struct ptrace_syscall_info", "linux/ptrace.h", 88, {
  op: [0, 1],
  arch: [4, 4],
  instruction_pointer: [8, 8],
  stack_pointer: [16, 8],
  "entry.nr": [24, 8],
  "entry.args": [32, 48],
  "exit.rval": [24, 8],
  "exit.is_error": [32, 1],
  "seccomp.ret_data": [80, 4],
});

/** What is in the union depends on si_signo and si_code, sigaction(2). */
export const SIGINFO = layout("siginfo_t", "asm/siginfo.h", 128, {
  si_signo: [0, 4],
  si_errno: [4, 4],
  si_code: [8, 4],
  si_pid: [16, 4],
  si_uid: [20, 4],
  si_status: [24, 4],
  si_utime: [32, 8],
  si_stime: [40, 8],
  si_value: [24, 8],
  si_tid: [16, 4],
  si_overrun: [20, 4],
  si_addr: [16, 8],
  si_band: [16, 8],
  si_fd: [24, 4],
  si_call_addr: [16, 8],
  si_syscall: [24, 4],
  si_arch: [28, 4],
});

export const SIGNAL_EVENT = layout("struct sigevent", "asm/siginfo.h", 64, {
  sigev_value: [0, 8],
  sigev_signo: [8, 4],
  sigev_notify: [12, 4],
  "_sigev_un._tid": [16, 4],
});

/** What rt_sigaction(2) takes, which is not the struct sigaction of the C library. */
export const KERNEL_SIGACTION = layout("struct sigaction", "asm/signal.h", 32, {
  sa_handler: [0, 8],
  sa_flags: [8, 8],
  sa_restorer: [16, 8],
  sa_mask: [24, 8],
});

export const SIGNAL_STACK = layout("stack_t", "asm/signal.h", 24, {
  ss_sp: [0, 8],
  ss_flags: [8, 4],
  ss_size: [16, 8],
});

export const INTERVAL_TIMER = layout("struct itimerval", "linux/time.h", 32, {
  "it_interval.tv_sec": [0, 8],
  "it_interval.tv_usec": [8, 8],
  "it_value.tv_sec": [16, 8],
  "it_value.tv_usec": [24, 8],
});

export const TIMER_SPECIFICATION = layout("struct __kernel_itimerspec", "linux/time_types.h", 32, {
  "it_interval.tv_sec": [0, 8],
  "it_interval.tv_nsec": [8, 8],
  "it_value.tv_sec": [16, 8],
  "it_value.tv_nsec": [24, 8],
});

export const TIME_SPECIFICATION = layout("struct __kernel_timespec", "linux/time_types.h", 16, {
  tv_sec: [0, 8],
  tv_nsec: [8, 8],
});

export const MEMORY_MAP = layout("struct prctl_mm_map", "linux/prctl.h", 104, {
  start_code: [0, 8],
  end_code: [8, 8],
  start_data: [16, 8],
  end_data: [24, 8],
  start_brk: [32, 8],
  brk: [40, 8],
  start_stack: [48, 8],
  arg_start: [56, 8],
  arg_end: [64, 8],
  env_start: [72, 8],
  env_end: [80, 8],
  auxv: [88, 8],
  auxv_size: [96, 4],
  exe_fd: [100, 4],
});

export const CLONE_ARGUMENTS = layout("struct clone_args", "linux/sched.h", 88, {
  flags: [0, 8],
  pidfd: [8, 8],
  child_tid: [16, 8],
  parent_tid: [24, 8],
  exit_signal: [32, 8],
  stack: [40, 8],
  stack_size: [48, 8],
  tls: [56, 8],
  set_tid: [64, 8],
  set_tid_size: [72, 8],
  cgroup: [80, 8],
});

export const SCHEDULING_ATTRIBUTES = layout("struct sched_attr", "linux/sched/types.h", 56, {
  size: [0, 4],
  sched_policy: [4, 4],
  sched_flags: [8, 8],
  sched_nice: [16, 4],
  sched_priority: [20, 4],
  sched_runtime: [24, 8],
  sched_deadline: [32, 8],
  sched_period: [40, 8],
  sched_util_min: [48, 4],
  sched_util_max: [52, 4],
});

export const RESOURCE_LIMIT = layout("struct rlimit64", "linux/resource.h", 16, {
  rlim_cur: [0, 8],
  rlim_max: [8, 8],
});

export const CAPABILITY_HEADER = layout("struct __user_cap_header_struct", "linux/capability.h", 8, {
  version: [0, 4],
  pid: [4, 4],
});

/** Version 3 takes two of these: the low 32 capabilities, then the high ones. */
export const CAPABILITY_DATA = layout("struct __user_cap_data_struct", "linux/capability.h", 12, {
  effective: [0, 4],
  permitted: [4, 4],
  inheritable: [8, 4],
});

export const IO_VECTOR = layout("struct iovec", "linux/uio.h", 16, {
  iov_base: [0, 8],
  iov_len: [8, 8],
});

/** Packed on x86-64 alone. */
export const EPOLL_EVENT = layout("struct epoll_event", "linux/eventpoll.h", 12, {
  events: [0, 4],
  data: [4, 8],
});

export const KCMP_EPOLL_SLOT = layout("struct kcmp_epoll_slot", "linux/kcmp.h", 12, {
  efd: [0, 4],
  tfd: [4, 4],
  toff: [8, 4],
});

export const FILE_LOCK = layout("struct flock", "linux/fcntl.h", 32, {
  l_type: [0, 2],
  l_whence: [2, 2],
  l_start: [8, 8],
  l_len: [16, 8],
  l_pid: [24, 4],
});

export const FILE_OWNER = layout("struct f_owner_ex", "linux/fcntl.h", 8, {
  type: [0, 4],
  pid: [4, 4],
});

export const WINDOW_SIZE = layout("struct winsize", "asm/termios.h", 8, {
  ws_row: [0, 2],
  ws_col: [2, 2],
  ws_xpixel: [4, 2],
  ws_ypixel: [6, 2],
});

/** What TCGETS gives, which is shorter than the struct termios of the C library. */
export const TERMINAL_MODES = layout("struct termios", "asm/termbits.h", 36, {
  c_iflag: [0, 4],
  c_oflag: [4, 4],
  c_cflag: [8, 4],
  c_lflag: [12, 4],
  c_line: [16, 1],
  c_cc: [17, 19],
});

/** What TCGETS2 gives: with speeds of any number. */
export const TERMINAL_MODES_2 = layout("struct termios2", "asm/termbits.h", 44, {
  c_iflag: [0, 4],
  c_oflag: [4, 4],
  c_cflag: [8, 4],
  c_lflag: [12, 4],
  c_line: [16, 1],
  c_cc: [17, 19],
  c_ispeed: [36, 4],
  c_ospeed: [40, 4],
});

/** The part that every kernel knows; newer ones use bytes that were padding, up to AT_RSEQ_FEATURE_SIZE. */
export const RSEQ = layout("struct rseq", "linux/rseq.h", 32, {
  cpu_id_start: [0, 4],
  cpu_id: [4, 4],
  rseq_cs: [8, 8],
  flags: [16, 4],
  node_id: [20, 4],
  mm_cid: [24, 4],
});

export const ROBUST_LIST_HEAD = layout("struct robust_list_head", "linux/futex.h", 24, {
  "list.next": [0, 8],
  futex_offset: [8, 8],
  list_op_pending: [16, 8],
});

export const PAGE_SCAN_ARGUMENTS = layout("struct pm_scan_arg", "linux/fs.h", 96, {
  size: [0, 8],
  flags: [8, 8],
  start: [16, 8],
  end: [24, 8],
  walk_end: [32, 8],
  vec: [40, 8],
  vec_len: [48, 8],
  max_pages: [56, 8],
  category_inverted: [64, 8],
  category_mask: [72, 8],
  category_anyof_mask: [80, 8],
  return_mask: [88, 8],
});

export const PAGE_REGION = layout("struct page_region", "linux/fs.h", 24, {
  start: [0, 8],
  end: [8, 8],
  categories: [16, 8],
});

export const USERFAULTFD_API = layout("struct uffdio_api", "linux/userfaultfd.h", 24, {
  api: [0, 8],
  features: [8, 8],
  ioctls: [16, 8],
});

export const USERFAULTFD_REGISTER = layout("struct uffdio_register", "linux/userfaultfd.h", 32, {
  "range.start": [0, 8],
  "range.len": [8, 8],
  mode: [16, 8],
  ioctls: [24, 8],
});

/** The head of each of the three that follow. */
export const IPC_PERMISSIONS = layout("struct ipc64_perm", "linux/ipc.h", 48, {
  key: [0, 4],
  uid: [4, 4],
  gid: [8, 4],
  cuid: [12, 4],
  cgid: [16, 4],
  mode: [20, 4],
  seq: [24, 2],
});

export const SEGMENT_STATUS = layout("struct shmid64_ds", "linux/shm.h", 112, {
  shm_perm: [0, 48],
  shm_segsz: [48, 8],
  shm_cpid: [80, 4],
  shm_lpid: [84, 4],
  shm_nattch: [88, 8],
});

export const SEGMENT_TOTALS = layout("struct shm_info", "linux/shm.h", 48, {
  used_ids: [0, 4],
  shm_tot: [8, 8],
  shm_rss: [16, 8],
  shm_swp: [24, 8],
});

export const SEMAPHORE_STATUS = layout("struct semid64_ds", "linux/sem.h", 104, {
  sem_perm: [0, 48],
  sem_otime: [48, 8],
  sem_ctime: [64, 8],
  sem_nsems: [80, 8],
});

export const QUEUE_STATUS = layout("struct msqid64_ds", "linux/msg.h", 120, {
  msg_perm: [0, 48],
  msg_cbytes: [72, 8],
  msg_qnum: [80, 8],
  msg_qbytes: [88, 8],
  msg_lspid: [96, 4],
  msg_lrpid: [100, 4],
});
