//! The system calls of a Gofer that serves, each with its reason. The threads exist when the list comes into force.

use abi::nr;

/// What an argument's low 32 bits must look like.
pub enum Check {
    /// Argument, value.
    Equals(u8, u64),
    /// Argument, bits of which none may be set.
    Without(u8, u64),
    /// Argument, bits of which all must be set.
    With(u8, u64),
}

pub struct Rule {
    pub call: u32,
    pub checks: &'static [Check],
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the reader, and for the test that demands it")
    )]
    pub reason: &'static str,
}

const fn allow(call: u32, reason: &'static str) -> Rule {
    Rule {
        call,
        checks: &[],
        reason,
    }
}

const fn when(call: u32, checks: &'static [Check], reason: &'static str) -> Rule {
    Rule { call, checks, reason }
}

const O_CLOEXEC: u64 = 0o2_000_000;
const PROT_EXEC: u64 = 4;
const MAP_SHARED: u64 = 1;
const F_GETFD: u64 = 1;
const F_DUPFD_CLOEXEC: u64 = 1030;
const STDERR: u64 = 2;

pub const RULES: &[Rule] = &[
    // Messages.
    allow(nr::RECVFROM, "receive a request"),
    allow(nr::SENDTO, "send a reply"),
    allow(nr::SENDMSG, "send a reply with a descriptor"),
    // Files, by descriptor and single name.
    when(
        nr::OPENAT,
        &[Check::With(2, O_CLOEXEC)],
        "path handles, opening, creating",
    ),
    allow(nr::CLOSE, "descriptors that were donated or evicted"),
    allow(nr::STATX, "attributes"),
    allow(nr::READLINKAT, "targets of symbolic links"),
    allow(nr::GETDENTS64, "directories"),
    allow(nr::LSEEK, "directories, from a cookie"),
    allow(nr::MKDIRAT, "new directories"),
    allow(nr::MKNODAT, "new fifos, sockets, whiteouts"),
    allow(nr::SYMLINKAT, "new symbolic links"),
    allow(nr::LINKAT, "new hard links"),
    allow(nr::UNLINKAT, "removal"),
    allow(nr::RENAMEAT, "renaming"),
    allow(nr::RENAMEAT2, "renaming, exclusively or by exchange"),
    allow(nr::FCHOWNAT, "owners"),
    allow(nr::FCHOWN, "owner of a file just created"),
    allow(nr::FCHMODAT, "modes"),
    allow(nr::FCHMOD, "mode of a file just created"),
    allow(nr::UTIMENSAT, "times"),
    allow(nr::FTRUNCATE, "sizes"),
    allow(nr::FSTATFS, "file system statistics"),
    allow(nr::FSYNC, "flush a file or directory"),
    allow(nr::FDATASYNC, "flush a file's data"),
    allow(nr::SYNCFS, "flush a file system"),
    allow(nr::GETXATTR, "extended attributes"),
    allow(nr::SETXATTR, "extended attributes"),
    allow(nr::LISTXATTR, "extended attributes"),
    allow(nr::REMOVEXATTR, "extended attributes"),
    when(
        nr::FCNTL,
        &[Check::Equals(1, F_DUPFD_CLOEXEC)],
        "keep a nameless file that is also donated",
    ),
    when(
        nr::FCNTL,
        &[Check::Equals(1, F_GETFD)],
        "the standard library's check before a close, in debug builds",
    ),
    // Memory of the allocator: never executable, never shared.
    when(
        nr::MMAP,
        &[Check::Without(2, PROT_EXEC), Check::Without(3, MAP_SHARED)],
        "allocator",
    ),
    when(nr::MPROTECT, &[Check::Without(2, PROT_EXEC)], "allocator's arenas"),
    allow(nr::MUNMAP, "allocator, stacks of threads that end"),
    allow(nr::MREMAP, "allocator"),
    allow(nr::MADVISE, "allocator"),
    allow(nr::BRK, "allocator"),
    // Threads: waiting for locks and ending.
    allow(nr::FUTEX, "locks"),
    allow(nr::SCHED_YIELD, "locks"),
    allow(nr::RESTART_SYSCALL, "a lock wait that was stopped and continued"),
    allow(nr::RT_SIGPROCMASK, "end of a thread"),
    allow(nr::SIGALTSTACK, "end of a thread"),
    allow(nr::RT_SIGRETURN, "return from a signal handler"),
    allow(nr::GETRANDOM, "seed of the allocator's hashes"),
    allow(nr::EXIT, "end of a thread"),
    allow(nr::EXIT_GROUP, "end of the process"),
    when(nr::WRITE, &[Check::Equals(0, STDERR)], "the last words of a panic"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_rule_has_a_reason() {
        assert!(super::RULES.iter().all(|r| !r.reason.is_empty()));
    }
}
