/** Memory: mmap(2), madvise(2), the PAGEMAP_SCAN ioctl and userfaultfd(2); the same on x86-64 and arm64. */

// mmap(2), mremap(2), mlock(2), msync(2): linux/mman.h
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const PROT_GROWSDOWN = 0x1000000;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_SHARED_VALIDATE = 3;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_GROWSDOWN = 0x100;
export const MAP_LOCKED = 0x2000;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_NONBLOCK = 0x10000;
export const MAP_STACK = 0x20000;
export const MAP_HUGETLB = 0x40000;
export const MAP_SYNC = 0x80000;
export const MAP_FIXED_NOREPLACE = 0x100000;
export const MAP_HUGE_SHIFT = 26;
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4;
export const MLOCK_ONFAULT = 1;
export const MCL_CURRENT = 1;
export const MCL_FUTURE = 2;
export const MCL_ONFAULT = 4;
export const MS_ASYNC = 1;
export const MS_INVALIDATE = 2;
export const MS_SYNC = 4;
// Newer than the headers of Debian 12.
export const MAP_DROPPABLE = 8;

// madvise(2): linux/mman.h
export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_DONTFORK = 10;
export const MADV_DOFORK = 11;
export const MADV_MERGEABLE = 12;
export const MADV_UNMERGEABLE = 13;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_DONTDUMP = 16;
export const MADV_DODUMP = 17;
export const MADV_WIPEONFORK = 18;
export const MADV_KEEPONFORK = 19;
export const MADV_COLD = 20;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_COLLAPSE = 25;
// Newer than the headers of Debian 12.
export const MADV_GUARD_INSTALL = 102;
export const MADV_GUARD_REMOVE = 103;

// memfd_create(2): linux/memfd.h
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
export const MFD_HUGETLB = 4;
// Newer than the headers of Debian 12.
export const MFD_NOEXEC_SEAL = 8;
export const MFD_EXEC = 0x10;

// ioctl PAGEMAP_SCAN on /proc/PID/pagemap, Linux 6.7: linux/fs.h
// Newer than the headers of Debian 12.
export const PAGEMAP_SCAN = 0xc0606610;
export const PAGE_IS_WPALLOWED = 1;
export const PAGE_IS_WRITTEN = 2;
export const PAGE_IS_FILE = 4;
export const PAGE_IS_PRESENT = 8;
export const PAGE_IS_SWAPPED = 0x10;
export const PAGE_IS_PFNZERO = 0x20;
export const PAGE_IS_HUGE = 0x40;
export const PAGE_IS_SOFT_DIRTY = 0x80;
export const PAGE_IS_GUARD = 0x100;
export const PM_SCAN_WP_MATCHING = 1;
export const PM_SCAN_CHECK_WPASYNC = 2;

// userfaultfd(2): linux/userfaultfd.h
export const UFFD_API = 170;
export const UFFD_USER_MODE_ONLY = 1;
export const UFFDIO_API = 0xc018aa3f;
export const UFFDIO_REGISTER = 0xc020aa00;
export const UFFDIO_UNREGISTER = 0x8010aa01;
export const UFFDIO_WRITEPROTECT = 0xc018aa06;
export const UFFDIO_REGISTER_MODE_MISSING = 1;
export const UFFDIO_REGISTER_MODE_WP = 2;
export const UFFDIO_REGISTER_MODE_MINOR = 4;
export const UFFDIO_WRITEPROTECT_MODE_WP = 1;
export const UFFD_FEATURE_PAGEFAULT_FLAG_WP = 1;
export const UFFD_FEATURE_WP_HUGETLBFS_SHMEM = 0x1000;
// Newer than the headers of Debian 12.
export const UFFD_FEATURE_WP_UNPOPULATED = 0x2000;
export const UFFD_FEATURE_WP_ASYNC = 0x8000;
