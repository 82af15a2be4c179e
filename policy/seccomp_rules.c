/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/in6.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "policy/seccomp_rules.h"

#define ALLOW         SECCOMP_ALLOW
#define UNLISTED      SECCOMP_UNLISTED
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* clang-format off: it breaks braces in macros over four lines each */
#define BITS(n, m, v)                                 \
	{                                             \
		2 * (n), (uint32_t)(m), (uint32_t)(v) \
	}
#define IS(n, v) BITS(n, UINT32_MAX, v)
#define IS_NULL(n)                         \
	IS(n, 0),                          \
	{                                  \
		2 * (n) + 1, UINT32_MAX, 0 \
	} /* a pointer has both halves */
#define WHEN(ans, ...)                                    \
	{                                                 \
		.answer = (ans), .match = { __VA_ARGS__ } \
	}
#define OTHERWISE(ans)          \
	{                       \
		.answer = (ans) \
	}
#define FILTERED(call, list)                     \
	{                                        \
		(call), (list), ARRAY_SIZE(list) \
	}
/* clang-format on */

const struct seccomp_group seccomp_groups[] = {
	{ ALLOW, "descriptors", "close close_range dup dup2 dup3" },
	{ ALLOW, "read and write",
	  "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 "
	  "lseek readahead fadvise64 fallocate truncate ftruncate sync syncfs fsync "
	  "fdatasync sync_file_range flock" },
	{ ALLOW, "S-28: from descriptor to descriptor; tar, cp, nginx, Go's io.Copy",
	  "splice tee sendfile copy_file_range" },
	{ ALLOW, "metadata",
	  "stat fstat lstat newfstatat statx statfs fstatfs access faccessat "
	  "faccessat2 chown fchown lchown fchownat utime utimes futimesat utimensat "
	  "umask" },
	{ ALLOW,
	  "extended attributes; security.capability, a set-id bit by another name, "
	  "wants CAP_SETFCAP, and an ACL reaches no bit above 0777",
	  "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr "
	  "setxattrat listxattr llistxattr flistxattr listxattrat removexattr "
	  "lremovexattr fremovexattr removexattrat" },
	{ ALLOW, "directories and names",
	  "getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir "
	  "mkdirat rmdir link linkat symlink symlinkat unlink unlinkat readlink "
	  "readlinkat" },
	{ ALLOW, "S-31: file events; limited per user namespace",
	  "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch" },
	{ ALLOW, "memory",
	  "brk mmap munmap mremap mprotect msync mincore mlock mlock2 munlock "
	  "mlockall munlockall memfd_create membarrier pkey_alloc pkey_free "
	  "pkey_mprotect mseal" },
	{ ALLOW, "processes and programs",
	  "fork vfork execve execveat exit exit_group wait4 waitid getpid getppid "
	  "gettid set_tid_address arch_prctl restart_syscall uname sysinfo getcpu "
	  "getrandom getrusage times getrlimit process_mrelease" },
	{ ALLOW, "a uretprobe of the host's on a shared file: its return trampoline only",
	  "uretprobe" },
	{ ALLOW, "identity: without capabilities these only confirm what is",
	  "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid "
	  "setreuid setregid setresuid setresgid setfsuid setfsgid setgroups getpgid "
	  "getpgrp setpgid getsid setsid capget capset" },
	{ ALLOW, "scheduling",
	  "sched_yield sched_getaffinity sched_setaffinity sched_getattr "
	  "sched_setattr sched_getparam sched_setparam sched_getscheduler "
	  "sched_setscheduler sched_get_priority_max sched_get_priority_min "
	  "sched_rr_get_interval getpriority setpriority ioprio_get ioprio_set" },
	{ ALLOW, "signals",
	  "rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait "
	  "rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn sigaltstack kill tkill "
	  "tgkill pause pidfd_open pidfd_send_signal" },
	{ ALLOW, "threads",
	  "futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list "
	  "get_robust_list rseq" },
	{ ALLOW, "waiting",
	  "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait "
	  "epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4" },
	{ ALLOW, "time",
	  "time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep "
	  "alarm getitimer setitimer timer_create timer_settime timer_gettime "
	  "timer_getoverrun timer_delete timerfd_create timerfd_settime "
	  "timerfd_gettime" },
	{ ALLOW, "pipes, and sockets once they are open",
	  "pipe pipe2 connect bind listen accept accept4 getsockname getpeername "
	  "getsockopt shutdown sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg" },
	{ ALLOW, "S-31: SysV and POSIX objects of the sandbox's own ipc namespace",
	  "shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd "
	  "msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify "
	  "mq_getsetattr" },
	{ ALLOW, "S-31: programs may confine themselves further",
	  "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self" },

	{ UNLISTED, "S-15: its flags lie behind a pointer; libcs fall back to clone",
	  "clone3" },
	{ UNLISTED, "its flags and mode lie behind a pointer, see open_rules",
	  "openat2" },
	{ EPERM, "S-16, E-26: namespaces and mounts; programs say so sanely",
	  "unshare setns mount umount2 pivot_root chroot swapon swapoff quotactl" },
	{ UNLISTED, "S-16, CVE-2022-0185: the newer mount calls",
	  "open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick "
	  "mount_setattr quotactl_fd statmount listmount listns" },
	{ UNLISTED, "S-17: opens and connects past this filter",
	  "io_uring_setup io_uring_enter io_uring_register" },
	{ UNLISTED,
	  "S-31, decided: fs.aio-max-nr is one host-wide pool that one sandbox can "
	  "drain; libaio's users fall back to threads",
	  "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents" },
	{ EPERM, "S-18: programs loaded into the kernel, and its counters",
	  "bpf perf_event_open" },
	{ EPERM, "S-19: widens race windows", "userfaultfd" },
	{ UNLISTED, "S-20, E-27: keyrings are not namespaced",
	  "add_key request_key keyctl" },
	{ EPERM, "S-21, E-14: other processes' memory and descriptors",
	  "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp process_madvise" },
	{ UNLISTED, "S-23: obsolete, or never built",
	  "modify_ldt iopl ioperm uselib ustat sysfs nfsservctl lookup_dcookie "
	  "_sysctl get_kernel_syms query_module create_module afs_syscall getpmsg "
	  "putpmsg tuxcall security vserver set_thread_area get_thread_area "
	  "epoll_ctl_old epoll_wait_old" },
	{ EPERM, "S-24: the machine's own business; privileged in any case",
	  "init_module finit_module delete_module kexec_load kexec_file_load reboot "
	  "acct syslog settimeofday clock_settime adjtimex clock_adjtime sethostname "
	  "setdomainname vhangup" },
	{ UNLISTED, "S-25: NUMA placement; libnuma falls back",
	  "mbind set_mempolicy get_mempolicy move_pages migrate_pages "
	  "set_mempolicy_home_node" },
	{ EOPNOTSUPP, "S-26: what a file system without handles says",
	  "name_to_handle_at" },
	{ EPERM, "S-26, E-32: files by guessed handle, and events of whole mounts",
	  "open_by_handle_at fanotify_init fanotify_mark" },
	{ UNLISTED, "S-27: surface that little uses",
	  "memfd_secret vmsplice remap_file_pages lsm_get_self_attr lsm_set_self_attr "
	  "lsm_list_modules map_shadow_stack" },
	{ UNLISTED, "S-13 by another name: inode flags", "file_getattr file_setattr" },
	{ UNLISTED, "E-27: tells which pages of shared files others have in memory",
	  "cachestat" },
	{ UNLISTED,
	  "too new to be needed: uprobe is only for the kernel's own trampoline",
	  "uprobe rseq_slice_yield" },
	{ 0 },
};

/* S-10, E-30: an answer that programs know, from a kernel built without the family. A
 * wrong protocol of a good family and type is EPROTONOSUPPORT instead: it is what makes
 * Go give up MPTCP for good and try TCP. MPTCP, SCTP, UDP-Lite and ping sockets are
 * surface, and go past egress rules written for TCP and UDP. */
static const struct seccomp_rule socket_rules[] = {
	WHEN(ALLOW, IS(0, AF_UNIX)),
	WHEN(ALLOW, IS(0, AF_INET), BITS(1, 0xf, SOCK_STREAM), IS(2, 0)),
	WHEN(ALLOW, IS(0, AF_INET), BITS(1, 0xf, SOCK_STREAM), IS(2, IPPROTO_TCP)),
	WHEN(EPROTONOSUPPORT, IS(0, AF_INET), BITS(1, 0xf, SOCK_STREAM)),
	WHEN(ALLOW, IS(0, AF_INET), BITS(1, 0xf, SOCK_DGRAM), IS(2, 0)),
	WHEN(ALLOW, IS(0, AF_INET), BITS(1, 0xf, SOCK_DGRAM), IS(2, IPPROTO_UDP)),
	WHEN(EPROTONOSUPPORT, IS(0, AF_INET), BITS(1, 0xf, SOCK_DGRAM)),
	WHEN(ALLOW, IS(0, AF_INET6), BITS(1, 0xf, SOCK_STREAM), IS(2, 0)),
	WHEN(ALLOW, IS(0, AF_INET6), BITS(1, 0xf, SOCK_STREAM), IS(2, IPPROTO_TCP)),
	WHEN(EPROTONOSUPPORT, IS(0, AF_INET6), BITS(1, 0xf, SOCK_STREAM)),
	WHEN(ALLOW, IS(0, AF_INET6), BITS(1, 0xf, SOCK_DGRAM), IS(2, 0)),
	WHEN(ALLOW, IS(0, AF_INET6), BITS(1, 0xf, SOCK_DGRAM), IS(2, IPPROTO_UDP)),
	WHEN(EPROTONOSUPPORT, IS(0, AF_INET6), BITS(1, 0xf, SOCK_DGRAM)),
	WHEN(ALLOW, IS(0, AF_NETLINK), BITS(1, 0xf, SOCK_RAW), IS(2, 0)), /* ROUTE */
	WHEN(ALLOW, IS(0, AF_NETLINK), BITS(1, 0xf, SOCK_DGRAM), IS(2, 0)),
	OTHERWISE(EAFNOSUPPORT),
};

static const struct seccomp_rule socketpair_rules[] = {
	WHEN(ALLOW, IS(0, AF_UNIX)),
	OTHERWISE(EAFNOSUPPORT),
};

/* S-12: the doors of Dirty Frag, Fragnesia and the old xt_tables bugs. Every IPv4
 * option from 64 on belongs to netfilter; of IPv6 only two of them and those from 128
 * on, because 66 to 78 are ordinary (ssh sets IPV6_TCLASS, 67). */
static const struct seccomp_rule setsockopt_rules[] = {
	WHEN(EPERM, IS(1, SOL_SOCKET), IS(2, SO_ATTACH_FILTER)),
	WHEN(EPERM, IS(1, SOL_SOCKET), IS(2, SO_ATTACH_BPF)),
	WHEN(EPERM, IS(1, SOL_SOCKET), IS(2, SO_ATTACH_REUSEPORT_CBPF)),
	WHEN(EPERM, IS(1, SOL_SOCKET), IS(2, SO_ATTACH_REUSEPORT_EBPF)),
	WHEN(EPERM, IS(1, IPPROTO_TCP), IS(2, TCP_ULP)),
	WHEN(EPERM, IS(1, IPPROTO_UDP), IS(2, UDP_ENCAP)),
	WHEN(EPERM, IS(1, IPPROTO_IP), IS(2, IP_IPSEC_POLICY)),
	WHEN(EPERM, IS(1, IPPROTO_IP), IS(2, IP_XFRM_POLICY)),
	WHEN(ALLOW, IS(1, IPPROTO_IP), BITS(2, ~63, 0)),
	WHEN(EPERM, IS(1, IPPROTO_IP)),
	WHEN(EPERM, IS(1, IPPROTO_IPV6), IS(2, IPV6_IPSEC_POLICY)),
	WHEN(EPERM, IS(1, IPPROTO_IPV6), IS(2, IPV6_XFRM_POLICY)),
	WHEN(EPERM, IS(1, IPPROTO_IPV6), IS(2, 64)), /* IP6T_SO_SET_REPLACE */
	WHEN(EPERM, IS(1, IPPROTO_IPV6), IS(2, 65)), /* IP6T_SO_SET_ADD_COUNTERS */
	WHEN(ALLOW, IS(1, IPPROTO_IPV6), BITS(2, ~127, 0)),
	WHEN(EPERM, IS(1, IPPROTO_IPV6)),
	OTHERWISE(ALLOW),
};

/* S-13, E-36: keystrokes into a terminal, line disciplines, interfaces, inode flags. Of
 * the socket group 0x89 only the getters that ifconfig, Java and psutil use are open;
 * SIOCETHTOOL both gets and sets, and psutil takes only EOPNOTSUPP as "no answer". */
static const struct seccomp_rule ioctl_rules[] = {
	WHEN(EPERM, IS(1, TIOCSTI)),
	WHEN(EPERM, IS(1, TIOCLINUX)),
	WHEN(EPERM, IS(1, TIOCSETD)),
	WHEN(EPERM, IS(1, TIOCCONS)),
	WHEN(EPERM, IS(1, FS_IOC_SETFLAGS)),
	WHEN(EPERM, IS(1, FS_IOC32_SETFLAGS)),
	WHEN(EPERM, IS(1, FS_IOC_FSSETXATTR)),
	WHEN(EPERM, IS(1, FS_IOC_SET_ENCRYPTION_POLICY)), /* S-20: keys again */
	WHEN(EPERM, IS(1, FS_IOC_ADD_ENCRYPTION_KEY)),
	WHEN(EPERM, IS(1, FS_IOC_REMOVE_ENCRYPTION_KEY)),
	WHEN(EPERM, IS(1, FS_IOC_ENABLE_VERITY)), /* an inode flag, too */
	WHEN(EOPNOTSUPP, IS(1, SIOCETHTOOL)),
	WHEN(ALLOW, BITS(1, ~7, 0x8900)), /* 0x8901 to 0x8907: owner, mark, time stamps */
	WHEN(ALLOW, IS(1, SIOCGIFNAME)),
	WHEN(ALLOW, IS(1, SIOCGIFCONF)),
	WHEN(ALLOW, IS(1, SIOCGIFFLAGS)),
	WHEN(ALLOW, IS(1, SIOCGIFADDR)),
	WHEN(ALLOW, IS(1, SIOCGIFDSTADDR)),
	WHEN(ALLOW, IS(1, SIOCGIFBRDADDR)),
	WHEN(ALLOW, IS(1, SIOCGIFNETMASK)),
	WHEN(ALLOW, IS(1, SIOCGIFMETRIC)),
	WHEN(ALLOW, IS(1, SIOCGIFMTU)),
	WHEN(ALLOW, IS(1, SIOCGIFHWADDR)),
	WHEN(ALLOW, IS(1, SIOCGIFINDEX)),
	WHEN(ALLOW, IS(1, SIOCGIFTXQLEN)),
	WHEN(ALLOW, IS(1, SIOCGIFMAP)),
	WHEN(ALLOW, IS(1, SIOCOUTQNSD)),
	WHEN(EPERM, BITS(1, ~0xff, 0x8900)),
	WHEN(EPERM, BITS(1, ~0xff, 0x8b00)), /* wireless */
	OTHERWISE(ALLOW),
};

/* S-13: the map of the own process, the scheduling cookie, mitigations, who may trace. */
static const struct seccomp_rule prctl_rules[] = {
	WHEN(EPERM, IS(0, PR_SET_MM)),
	WHEN(EPERM, IS(0, PR_SCHED_CORE)),
	WHEN(EPERM, IS(0, PR_SET_SPECULATION_CTRL), IS(2, PR_SPEC_ENABLE)),
	WHEN(ALLOW, IS(0, PR_SET_SPECULATION_CTRL)),
	WHEN(EPERM, IS(0, PR_SET_PTRACER)),
	OTHERWISE(ALLOW),
};

#ifndef F_SETDELEG
#define F_SETDELEG 1040 /* Linux 6.19 */
#endif

/* S-13, E-27: leases on shared inodes stall other sandboxes and the host. */
static const struct seccomp_rule fcntl_rules[] = {
	WHEN(EPERM, IS(1, F_SETLEASE)),
	WHEN(EPERM, IS(1, F_NOTIFY)),
	WHEN(EPERM, IS(1, F_SETDELEG)),
	OTHERWISE(ALLOW),
};

/* S-14, E-26: every CLONE_NEW* that fits clone's flag word; and CLONE_PARENT, by which
 * the payload would make children of the process that waits for it alone. */
static const struct seccomp_rule clone_rules[] = {
	WHEN(ALLOW, BITS(0, 0x7e020000 | CLONE_PARENT, 0)),
	OTHERWISE(EPERM),
};

/* S-22, E-35: only PER_LINUX, and the question which it is. */
static const struct seccomp_rule personality_rules[] = {
	WHEN(ALLOW, IS(0, 0)),
	WHEN(ALLOW, IS(0, UINT32_MAX)),
	OTHERWISE(EPERM),
};

/* S-29, E-17: a core limit of 1 keeps a piped core handler of the host from running;
 * reading it is harmless. No other process's limits. */
static const struct seccomp_rule prlimit64_rules[] = {
	WHEN(ALLOW, IS(0, 0), IS(1, RLIMIT_CORE), IS_NULL(2)),
	WHEN(EPERM, IS(0, 0), IS(1, RLIMIT_CORE)),
	WHEN(ALLOW, IS(0, 0)),
	OTHERWISE(EPERM),
};

static const struct seccomp_rule setrlimit_rules[] = {
	WHEN(EPERM, IS(0, RLIMIT_CORE)),
	OTHERWISE(ALLOW),
};

/*
 * On the host's disk the payload's files belong to whom carrel runs as, so no set-id
 * file may come into being. Like the kernel, these look at a mode only where something
 * is created: without O_CREAT and O_TMPFILE it is whatever was in the register. mkdir is
 * free, for the kernel drops these bits there, and cp -r passes those of its source. Bits
 * that a directory hands down to what is made in it are the kernel's doing and stay.
 */
#define SET_ID (S_ISUID | S_ISGID)
#define CREATE (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

static const struct seccomp_rule open_rules[] = {
	WHEN(ALLOW, BITS(2, SET_ID, 0)),
	WHEN(ALLOW, BITS(1, CREATE, 0)),
	OTHERWISE(EPERM),
};

static const struct seccomp_rule openat_rules[] = {
	WHEN(ALLOW, BITS(3, SET_ID, 0)),
	WHEN(ALLOW, BITS(2, CREATE, 0)),
	OTHERWISE(EPERM),
};

/* The mode is a1: path or descriptor, mode. */
static const struct seccomp_rule mode_rules[] = {
	WHEN(ALLOW, BITS(1, SET_ID, 0)),
	OTHERWISE(EPERM),
};

/* The mode is a2: directory, path, mode. */
static const struct seccomp_rule modeat_rules[] = {
	WHEN(ALLOW, BITS(2, SET_ID, 0)),
	OTHERWISE(EPERM),
};

/* S-30: no device nodes; FIFOs and sockets are files like others. */
static const struct seccomp_rule mknod_rules[] = {
	WHEN(EPERM, BITS(1, S_IFMT, S_IFCHR)),
	WHEN(EPERM, BITS(1, S_IFMT, S_IFBLK)),
	WHEN(ALLOW, BITS(1, SET_ID, 0)),
	OTHERWISE(EPERM),
};

static const struct seccomp_rule mknodat_rules[] = {
	WHEN(EPERM, BITS(2, S_IFMT, S_IFCHR)),
	WHEN(EPERM, BITS(2, S_IFMT, S_IFBLK)),
	WHEN(ALLOW, BITS(2, SET_ID, 0)),
	OTHERWISE(EPERM),
};

/* E-27: pages merged across sandboxes tell what others hold; EINVAL is a kernel
 * without KSM. */
static const struct seccomp_rule madvise_rules[] = {
	WHEN(EINVAL, IS(2, MADV_MERGEABLE)),
	OTHERWISE(ALLOW),
};

const struct seccomp_call seccomp_calls[] = {
	FILTERED("socket", socket_rules),
	FILTERED("socketpair", socketpair_rules),
	FILTERED("setsockopt", setsockopt_rules),
	FILTERED("ioctl", ioctl_rules),
	FILTERED("prctl", prctl_rules),
	FILTERED("fcntl", fcntl_rules),
	FILTERED("clone", clone_rules),
	FILTERED("personality", personality_rules),
	FILTERED("prlimit64", prlimit64_rules),
	FILTERED("setrlimit", setrlimit_rules),
	FILTERED("open", open_rules),
	FILTERED("openat", openat_rules),
	FILTERED("creat", mode_rules),
	FILTERED("chmod", mode_rules),
	FILTERED("fchmod", mode_rules),
	FILTERED("fchmodat", modeat_rules),
	FILTERED("fchmodat2", modeat_rules),
	FILTERED("mknod", mknod_rules),
	FILTERED("mknodat", mknodat_rules),
	FILTERED("madvise", madvise_rules),
	{ 0 },
};
