//! The lists, each call with its reason.

use abi::nr;

use super::Check::{Equals, ProcFd, With, Without};
use super::{Rule, allow, when};

const PROT_EXEC: u32 = 4;
const O_CREAT: u32 = 0o100;
const O_CLOEXEC: u32 = 0o2_000_000;
const AT_EMPTY_PATH: u32 = 0x1000;
/// VM FS FILES SIGHAND THREAD SYSVSEM: what a thread is, and a process is not.
const CLONE_THREAD: u32 = 0x0001_0000;
const CLONE_VM: u32 = 0x0000_0100;
/// All of CLONE_NEW*.
const CLONE_NAMESPACES: u32 = 0x7e02_0000;

/// For every Sentry.
pub const COMMON: &[Rule] = &[
    // Its own memory: never executable, so that no injected code can run.
    when(
        nr::MMAP,
        &[Without(2, PROT_EXEC)],
        "memory of its own, shared areas, files to copy from",
    ),
    when(
        nr::MPROTECT,
        &[Without(2, PROT_EXEC)],
        "guard pages of thread stacks, growth of the heap",
    ),
    allow(nr::MUNMAP, "memory given back"),
    allow(nr::MREMAP, "growing buffers"),
    allow(nr::MADVISE, "memory given back by the allocator"),
    allow(nr::BRK, "the heap"),
    allow(nr::MEMBARRIER, "order between workers and guest threads"),
    // Its threads.
    when(
        nr::CLONE,
        &[With(0, CLONE_THREAD | CLONE_VM), Without(0, CLONE_NAMESPACES)],
        "further workers: threads only, in no new namespace",
    ),
    // Of all filters the hardest answer counts: here it would be the end of the sandbox.
    allow(
        nr::CLONE3,
        "refused by the filter beside this list: a thread that is started late",
    ),
    allow(nr::FUTEX, "locks and parking"),
    allow(nr::SET_ROBUST_LIST, "start of a thread"),
    allow(nr::RSEQ, "start of a thread"),
    allow(nr::SIGALTSTACK, "start and end of a thread"),
    allow(nr::RT_SIGPROCMASK, "start of a thread, signals read by signalfd"),
    allow(nr::RT_SIGACTION, "handlers of its own"),
    allow(nr::RT_SIGRETURN, "return from a handler"),
    allow(nr::SCHED_YIELD, "spinning"),
    allow(nr::SCHED_GETAFFINITY, "how many workers"),
    allow(nr::GETTID, "which thread"),
    allow(nr::GETPID, "which process"),
    when(nr::PRCTL, &[Equals(0, 15)], "PR_SET_NAME: names of threads"),
    when(
        nr::PRCTL,
        &[Equals(0, 0x5356_4d41)],
        "PR_SET_VMA: names of memory areas",
    ),
    allow(nr::EXIT, "end of a thread"),
    allow(nr::EXIT_GROUP, "end of the sandbox"),
    allow(nr::RESTART_SYSCALL, "a sleep that a stop interrupted"),
    // Time and chance.
    allow(nr::CLOCK_GETTIME, "clocks that the vDSO does not serve"),
    allow(nr::CLOCK_GETRES, "resolution of clocks"),
    allow(nr::CLOCK_NANOSLEEP, "back-off"),
    allow(nr::NANOSLEEP, "back-off"),
    allow(nr::TIMERFD_CREATE, "the sandbox's timers"),
    allow(nr::TIMERFD_SETTIME, "the sandbox's timers"),
    allow(nr::GETRANDOM, "random numbers for the guest, seeds of hash tables"),
    allow(nr::GETRUSAGE, "processor time of the guest"),
    allow(nr::SYSINFO, "memory and load"),
    // Files that were donated or made in memory: nothing here takes a path.
    allow(nr::READ, "files, pipes, the terminal"),
    allow(nr::WRITE, "files, pipes, the terminal, the log"),
    allow(nr::READV, "files"),
    allow(nr::WRITEV, "files"),
    allow(nr::PREAD64, "files, guest memory"),
    allow(nr::PWRITE64, "files, guest memory"),
    allow(nr::PREADV, "files"),
    allow(nr::PWRITEV, "files"),
    allow(nr::PREADV2, "files, without waiting for the disk"),
    allow(nr::PWRITEV2, "files, with the guest's flags"),
    allow(nr::LSEEK, "holes, directories"),
    allow(nr::FSTAT, "what a donated descriptor is"),
    when(nr::STATX, &[With(2, AT_EMPTY_PATH)], "attributes of an open file"),
    when(nr::NEWFSTATAT, &[With(3, AT_EMPTY_PATH)], "attributes of an open file"),
    allow(nr::FSTATFS, "what a donated descriptor is on"),
    allow(nr::FTRUNCATE, "sizes of files"),
    allow(nr::FALLOCATE, "space and holes in files"),
    allow(nr::FADVISE64, "read-ahead as the guest asks"),
    allow(nr::READAHEAD, "read-ahead as the guest asks"),
    allow(nr::FSYNC, "durability"),
    allow(nr::FDATASYNC, "durability"),
    allow(nr::SYNC_FILE_RANGE, "durability"),
    allow(nr::COPY_FILE_RANGE, "copies between open files"),
    allow(nr::FLOCK, "locks on donated files"),
    allow(nr::MEMFD_CREATE, "shared memory, files of tmpfs"),
    allow(nr::CLOSE, "descriptors"),
    allow(nr::CLOSE_RANGE, "descriptors"),
    allow(nr::DUP, "descriptors"),
    allow(nr::DUP3, "descriptors"),
    when(nr::FCNTL, &[Equals(1, 1)], "F_GETFD"),
    when(nr::FCNTL, &[Equals(1, 2)], "F_SETFD"),
    when(nr::FCNTL, &[Equals(1, 3)], "F_GETFL"),
    when(nr::FCNTL, &[Equals(1, 4)], "F_SETFL"),
    when(nr::FCNTL, &[Equals(1, 1030)], "F_DUPFD_CLOEXEC"),
    when(nr::FCNTL, &[Equals(1, 1031)], "F_SETPIPE_SZ"),
    when(nr::FCNTL, &[Equals(1, 1032)], "F_GETPIPE_SZ"),
    when(nr::FCNTL, &[Equals(1, 1033)], "F_ADD_SEALS: memfd of the guest"),
    when(nr::FCNTL, &[Equals(1, 1034)], "F_GET_SEALS: memfd of the guest"),
    // The donated procfs shows this pid namespace only; the root is empty, so that an absolute path leads nowhere.
    when(
        nr::OPENAT,
        &[ProcFd(0), Without(2, O_CREAT), With(2, O_CLOEXEC)],
        "memory and counters of guest processes",
    ),
    when(nr::READLINKAT, &[ProcFd(0)], "what a guest process has open, for /proc"),
    allow(nr::GETDENTS64, "guest processes, for /proc"),
    // Waiting.
    allow(nr::POLL, "events"),
    allow(nr::PPOLL, "events"),
    allow(nr::EPOLL_CREATE1, "events"),
    allow(nr::EPOLL_CTL, "events"),
    allow(nr::EPOLL_WAIT, "events"),
    allow(nr::EPOLL_PWAIT, "events"),
    allow(nr::EPOLL_PWAIT2, "events"),
    allow(nr::EVENTFD2, "waking a worker"),
    allow(nr::SIGNALFD4, "changes of the terminal's size"),
    allow(nr::PIPE2, "waking a thread, splicing"),
    // Messages of the Gofer and of runsc. No socket is made: these came as open descriptors.
    allow(nr::SENDMSG, "requests to the Gofer, replies to runsc"),
    allow(nr::RECVMSG, "replies with descriptors, requests of runsc"),
    allow(nr::SENDTO, "requests to the Gofer"),
    allow(nr::RECVFROM, "replies"),
    allow(nr::ACCEPT4, "a connection of runsc to the control socket"),
    allow(nr::SHUTDOWN, "end of a connection"),
    allow(nr::GETSOCKOPT, "what a donated descriptor is"),
    // The donated terminal.
    when(nr::IOCTL, &[Equals(1, 0x5401)], "TCGETS: is it a terminal"),
    when(nr::IOCTL, &[Equals(1, 0x802c_542a)], "TCGETS2: is it a terminal"),
    when(nr::IOCTL, &[Equals(1, 0x5413)], "TIOCGWINSZ: its size"),
    when(
        nr::IOCTL,
        &[Equals(1, 0x5414)],
        "TIOCSWINSZ: its size, set by the guest",
    ),
    when(nr::IOCTL, &[Equals(1, 0x5402)], "TCSETS: a donated terminal, raw"),
    when(nr::IOCTL, &[Equals(1, 0x5403)], "TCSETSW: and as it was found"),
    when(nr::IOCTL, &[Equals(1, 0x402c_542b)], "TCSETS2: likewise"),
    when(nr::IOCTL, &[Equals(1, 0x402c_542c)], "TCSETSW2: likewise"),
    when(nr::IOCTL, &[Equals(1, 0x541b)], "FIONREAD: bytes waiting"),
    when(
        nr::IOCTL,
        &[Equals(1, 0x5421)],
        "FIONBIO: not to block on a donated descriptor",
    ),
    // Guest processes: all others are out of sight in this pid namespace.
    allow(nr::PROCESS_VM_READV, "guest memory"),
    allow(nr::PROCESS_VM_WRITEV, "guest memory"),
    allow(nr::KILL, "end and interruption of guest processes"),
    allow(nr::TGKILL, "interruption of guest threads"),
    allow(nr::TKILL, "interruption of guest threads"),
    allow(nr::WAIT4, "ended guest processes"),
    allow(nr::WAITID, "ended guest processes"),
    allow(nr::PIDFD_OPEN, "a guest process to watch or signal"),
    allow(nr::PIDFD_SEND_SIGNAL, "end and interruption of guest processes"),
];

/// For systrap.
pub const SYSTRAP: &[Rule] = &[
    when(
        nr::IOCTL,
        &[Equals(1, 0xc050_2100)],
        "SECCOMP_IOCTL_NOTIF_RECV: a guest thread's doorbell",
    ),
    when(
        nr::IOCTL,
        &[Equals(1, 0xc018_2101)],
        "SECCOMP_IOCTL_NOTIF_SEND: let it go on",
    ),
    when(
        nr::IOCTL,
        &[Equals(1, 0x4008_2102)],
        "SECCOMP_IOCTL_NOTIF_ID_VALID: is it still there",
    ),
    when(
        nr::IOCTL,
        &[Equals(1, 0x4018_2103)],
        "SECCOMP_IOCTL_NOTIF_ADDFD: a file to map",
    ),
    when(
        nr::IOCTL,
        &[Equals(1, 0x4008_2104)],
        "SECCOMP_IOCTL_NOTIF_SET_FLAGS: wake up on the same core",
    ),
];

/// For ptrace. No attaching, and no access to memory: guest processes are tracees by birth.
pub const PTRACE: &[Rule] = &[
    when(nr::PTRACE, &[Equals(0, 7)], "PTRACE_CONT: an ordered call is made"),
    when(
        nr::PTRACE,
        &[Equals(0, 12)],
        "PTRACE_GETREGS: registers of a guest thread",
    ),
    when(
        nr::PTRACE,
        &[Equals(0, 13)],
        "PTRACE_SETREGS: registers of a guest thread",
    ),
    when(nr::PTRACE, &[Equals(0, 31)], "PTRACE_SYSEMU: guest code runs"),
    when(nr::PTRACE, &[Equals(0, 0x4201)], "PTRACE_GETEVENTMSG: who was born"),
    when(nr::PTRACE, &[Equals(0, 0x4202)], "PTRACE_GETSIGINFO: what was a fault"),
    when(
        nr::PTRACE,
        &[Equals(0, 0x4204), Equals(2, 0x202)],
        "PTRACE_GETREGSET: floating-point state",
    ),
    when(
        nr::PTRACE,
        &[Equals(0, 0x4205), Equals(2, 0x202)],
        "PTRACE_SETREGSET: floating-point state",
    ),
    when(
        nr::PTRACE,
        &[Equals(0, 0x4208)],
        "PTRACE_LISTEN: a guest thread that was stopped from outside",
    ),
    when(
        nr::PTRACE,
        &[Equals(0, 0x420e)],
        "PTRACE_GET_SYSCALL_INFO: is it a 64-bit call",
    ),
    when(
        nr::IOCTL,
        &[Equals(1, 0xc050_2100)],
        "SECCOMP_IOCTL_NOTIF_RECV: a guest thread is ready to take a file",
    ),
    when(
        nr::IOCTL,
        &[Equals(1, 0xc018_2101)],
        "SECCOMP_IOCTL_NOTIF_SEND: it gets none",
    ),
    when(
        nr::IOCTL,
        &[Equals(1, 0x4018_2103)],
        "SECCOMP_IOCTL_NOTIF_ADDFD: a file to map",
    ),
];

/// For `--network=host`.
pub const HOST_NETWORK: &[Rule] = &[
    when(
        nr::SOCKET,
        &[Equals(0, 1)],
        "AF_UNIX: names of the host are out of reach, the root is empty",
    ),
    when(nr::SOCKET, &[Equals(0, 2)], "AF_INET"),
    when(nr::SOCKET, &[Equals(0, 10)], "AF_INET6"),
    when(nr::SOCKET, &[Equals(0, 16)], "AF_NETLINK: interfaces and routes"),
    allow(nr::BIND, "sockets of the guest"),
    allow(nr::CONNECT, "sockets of the guest"),
    allow(nr::LISTEN, "sockets of the guest"),
    allow(nr::SETSOCKOPT, "sockets of the guest"),
    allow(nr::GETSOCKNAME, "sockets of the guest"),
    allow(nr::GETPEERNAME, "sockets of the guest"),
    when(nr::IOCTL, &[Equals(1, 0x8912)], "SIOCGIFCONF: interfaces"),
    when(nr::IOCTL, &[Equals(1, 0x8913)], "SIOCGIFFLAGS: interfaces"),
    when(nr::IOCTL, &[Equals(1, 0x8915)], "SIOCGIFADDR: interfaces"),
    when(nr::IOCTL, &[Equals(1, 0x8933)], "SIOCGIFINDEX: interfaces"),
    when(nr::IOCTL, &[Equals(1, 0x5411)], "TIOCOUTQ: bytes not sent yet"),
];
