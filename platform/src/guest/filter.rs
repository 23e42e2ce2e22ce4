//! The one seccomp filter of guest processes (S1).
//!
//! Every call from outside the stub's text is turned into a signal; the few that the stub's text may make concern only the
//! calling process. Guest code can jump into the text with any registers, or put its own code there: nothing may depend on
//! what the stub would do, only on the address, the number and the arguments.

use super::layout::{FORK_FLAGS, NR_DOORBELL, STUB_BASE, STUB_TEXT_END, THREAD_FLAGS};
use abi::conv::low32;
use abi::nr;

const ALLOW: u32 = 0x7fff_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRAP: u32 = 0x0003_0000;
const KILL: u32 = 0x8000_0000;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// A condition on one argument, whose upper half must be zero.
enum Arg {
    /// Is one of these.
    OneOf(u32, &'static [u32]),
    /// Has no other bits than these.
    Within(u32, u32),
}

/// `MADV_*`: DONTNEED NORMAL RANDOM SEQUENTIAL WILLNEED FREE REMOVE DONTFORK DOFORK HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP
/// WIPEONFORK KEEPONFORK POPULATE_READ POPULATE_WRITE.
const ADVICE: [u32; 17] = [4, 0, 1, 2, 3, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23];

/// Whether the host is told of that advice; the rest are hints that may be ignored.
pub fn advice_reaches_host(advice: i32) -> bool {
    ADVICE.contains(&advice.cast_unsigned())
}

/// The flags of the two clones.
const CLONES: [u32; 2] = [low32(FORK_FLAGS), low32(THREAD_FLAGS)];

/// Who lives behind the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// systrap's stub, entered by signals: guest code can reach its text.
    Signals,
    /// Tracees: only what the tracer injects is executed at all, and the filter is a second wall.
    Tracees,
}

/// Calls that the stub's text may make, the frequent ones first. Of rules for one number that stand together each is tried.
fn rules(kind: Kind) -> Vec<(u32, u32, Vec<Arg>)> {
    let mmap_flags = 0x01 | 0x02 | 0x10 | 0x20 | 0x4000 | 0x8000 | 0x2_0000 | 0x10_0000;
    let mut rules = vec![
        // Answered by the Sentry, or failing if there is none.
        (low32(NR_DOORBELL), NOTIFY, vec![]),
        // The process's own memory. SHARED PRIVATE FIXED ANONYMOUS NORESERVE POPULATE STACK FIXED_NOREPLACE: no locked
        // memory, no huge-page pool.
        (nr::MMAP, ALLOW, vec![Arg::Within(3, mmap_flags)]),
        (nr::MUNMAP, ALLOW, vec![]),
        (nr::MPROTECT, ALLOW, vec![]),
        (nr::MREMAP, ALLOW, vec![]),
        // No page merging, which other containers could time, no poisoning, no pushing out of pages that others use.
        (nr::MADVISE, ALLOW, vec![Arg::OneOf(2, &ADVICE)]),
        (nr::MSYNC, ALLOW, vec![]),
        // The process's fds are those that the Sentry put there.
        (nr::CLOSE, ALLOW, vec![]),
        (nr::EXIT, ALLOW, vec![]),
    ];
    let clone = vec![Arg::OneOf(0, &CLONES)];
    match kind {
        Kind::Signals => {
            // The thread's own registers and signal mask.
            rules.insert(1, (nr::RT_SIGRETURN, ALLOW, vec![]));
            rules.extend([
                // The thread's own bases and signal stack.
                (
                    nr::ARCH_PRCTL,
                    ALLOW,
                    vec![Arg::OneOf(0, &[0x1001, 0x1002, 0x1003, 0x1004])],
                ),
                (nr::SIGALTSTACK, ALLOW, vec![]),
                // The process's own end, when the Sentry has gone: killed for it, it would leave a line in the host's log.
                (nr::EXIT_GROUP, ALLOW, vec![]),
                // A fork or a thread exactly as the Sentry orders them, if it has ordered one: all arguments are in registers.
                (nr::CLONE, NOTIFY, clone),
                // PR_SET_PDEATHSIG to SIGKILL, never to anything else.
                (nr::PRCTL, ALLOW, vec![Arg::OneOf(0, &[1]), Arg::OneOf(1, &[9])]),
            ]);
        }
        // The tracer asks for it, and the newcomer is its tracee.
        Kind::Tracees => rules.push((nr::CLONE, ALLOW, clone)),
    }
    // PR_SET_NAME: what the host's `ps` calls the thread.
    rules.push((nr::PRCTL, ALLOW, vec![Arg::OneOf(0, &[15])]));
    rules
}

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQ: u16 = 0x15;
const JUMP_GE: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// One `struct sock_filter`.
fn ins(code: u16, if_true: u8, if_false: u8, k: u32) -> u64 {
    u64::from(code) | u64::from(if_true) << 16 | u64::from(if_false) << 24 | u64::from(k) << 32
}

/// The program, as `seccomp(2)` takes it.
pub fn program(kind: Kind) -> Vec<u64> {
    let (base_high, base_low) = (low32(STUB_BASE >> 32), low32(STUB_BASE));
    let mut p = vec![
        ins(LOAD, 0, 0, 4),
        ins(JUMP_EQ, 1, 0, AUDIT_ARCH_X86_64),
        ins(RETURN, 0, 0, TRAP),
        ins(LOAD, 0, 0, 12),
        ins(JUMP_EQ, 1, 0, base_high),
        ins(RETURN, 0, 0, TRAP),
        ins(LOAD, 0, 0, 8),
        ins(JUMP_GE, 1, 0, base_low),
        ins(RETURN, 0, 0, TRAP),
        ins(JUMP_GE, 0, 1, low32(STUB_TEXT_END)),
        ins(RETURN, 0, 0, TRAP),
        ins(LOAD, 0, 0, 0),
    ];
    for same in rules(kind).chunk_by(|one, next| one.0 == next.0) {
        let mut body = Vec::new();
        for (i, (_, action, args)) in same.iter().enumerate() {
            let mut rule = Vec::new();
            for arg in args {
                condition(&mut rule, arg);
            }
            rule.push(ins(RETURN, 0, 0, *action));
            if i + 1 < same.len() {
                go_on(&mut rule);
            }
            body.extend(rule);
        }
        let number = same.first().map_or(u32::MAX, |rule| rule.0);
        p.push(ins(JUMP_EQ, 0, u8::try_from(body.len()).unwrap_or(u8::MAX), number));
        p.extend(body);
    }
    p.push(ins(RETURN, 0, 0, KILL));
    p
}

/// Where a rule would kill, goes on behind it.
fn go_on(rule: &mut [u64]) {
    let len = rule.len();
    for (i, word) in rule.iter_mut().enumerate() {
        if *word == ins(RETURN, 0, 0, KILL) {
            *word = ins(JUMP, 0, 0, u32::try_from(len - 1 - i).unwrap_or(u32::MAX));
        }
    }
}

/// Goes on behind itself if the condition holds, else kills.
fn condition(body: &mut Vec<u64>, arg: &Arg) {
    let (Arg::OneOf(index, _) | Arg::Within(index, _)) = arg;
    let low = 16 + 8 * index;
    body.extend([
        ins(LOAD, 0, 0, low + 4),
        ins(JUMP_EQ, 1, 0, 0),
        ins(RETURN, 0, 0, KILL),
        ins(LOAD, 0, 0, low),
    ]);
    match arg {
        Arg::OneOf(_, values) => {
            let n = u8::try_from(values.len()).unwrap_or(u8::MAX);
            for (i, value) in (0u8..).zip(*values) {
                // Over the remaining comparisons and the return.
                body.push(ins(JUMP_EQ, n - i, 0, *value));
            }
        }
        Arg::Within(_, bits) => body.push(ins(JUMP_SET, 0, 1, !bits)),
    }
    body.push(ins(RETURN, 0, 0, KILL));
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "takes numbers apart")]
mod tests {
    use super::{ALLOW, KILL, Kind, NOTIFY, TRAP, program};
    use crate::guest::layout::{FORK_FLAGS, NR_DOORBELL, STUB_BASE, THREAD_FLAGS};

    /// Runs the program as the kernel would.
    fn decide(arch: u32, rip: u64, number: u32, args: [u64; 6]) -> u32 {
        decide_for(Kind::Signals, arch, rip, number, args)
    }

    fn decide_for(kind: Kind, arch: u32, rip: u64, number: u32, args: [u64; 6]) -> u32 {
        let word = |at: u32| match at {
            0 => number,
            4 => arch,
            8 => rip as u32,
            12 => (rip >> 32) as u32,
            _ => (args[(at as usize - 16) / 8] >> ((at % 8) * 8)) as u32,
        };
        let (p, mut pc, mut acc) = (program(kind), 0, 0);
        loop {
            let (code, t, f, k) = (
                p[pc] as u16,
                (p[pc] >> 16) as u8,
                (p[pc] >> 24) as u8,
                (p[pc] >> 32) as u32,
            );
            pc += 1;
            let taken = match code {
                super::LOAD => {
                    acc = word(k);
                    continue;
                }
                super::RETURN => return k,
                super::JUMP => {
                    pc += k as usize;
                    continue;
                }
                super::JUMP_EQ => acc == k,
                super::JUMP_GE => acc >= k,
                super::JUMP_SET => acc & k != 0,
                _ => panic!("instruction {code:#x}"),
            };
            pc += usize::from(if taken { t } else { f });
        }
    }

    const X86_64: u32 = 0xc000_003e;
    const STUB: u64 = STUB_BASE + 0x100;

    #[test]
    fn guest_text_traps_whatever_it_asks() {
        for number in (0..1024).chain([NR_DOORBELL as u32, u32::MAX, 0x4000_0001]) {
            for rip in [
                0x40_1000,
                STUB_BASE - 1,
                STUB_BASE + 0x1_0000,
                0xffff_ffff_ff60_0000,
                0x100,
                STUB >> 32,
            ] {
                assert_eq!(decide(X86_64, rip, number, [0; 6]), TRAP);
                assert_eq!(decide_for(Kind::Tracees, X86_64, rip, number, [0; 6]), TRAP);
            }
            assert_eq!(decide(0x4000_0003, STUB, number, [0; 6]), TRAP);
            assert_eq!(decide_for(Kind::Tracees, 0x4000_0003, STUB, number, [0; 6]), TRAP);
        }
    }

    #[test]
    fn stub_text_makes_its_own_calls_only() {
        let allowed: Vec<u32> = (0..1024).filter(|n| decide(X86_64, STUB, *n, [0; 6]) != KILL).collect();
        assert_eq!(allowed, [3, 9, 10, 11, 15, 25, 26, 28, 60, 131, 231]);
        assert_eq!(decide(X86_64, STUB, NR_DOORBELL as u32, [1, 2, 3, 4, 5, 6]), NOTIFY);
        assert_eq!(decide(X86_64, STUB, 0x4000_0000 | 9, [0; 6]), KILL);
    }

    #[test]
    fn tracees_make_the_tracers_calls_only() {
        let tracee = |number, args| decide_for(Kind::Tracees, X86_64, STUB, number, args);
        let allowed: Vec<u32> = (0..1024).filter(|n| tracee(*n, [0; 6]) != KILL).collect();
        assert_eq!(allowed, [3, 9, 10, 11, 25, 26, 28, 60]);
        assert_eq!(tracee(NR_DOORBELL as u32, [0; 6]), NOTIFY);
        assert_eq!(tracee(56, [FORK_FLAGS, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(tracee(56, [THREAD_FLAGS, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(tracee(56, [17, 0, 0, 0, 0, 0]), KILL);
        assert_eq!(tracee(157, [15, STUB, 0, 0, 0, 0]), ALLOW);
        assert_eq!(tracee(157, [1, 9, 0, 0, 0, 0]), KILL);
        // CLONE_UNTRACED
        assert_eq!(tracee(56, [FORK_FLAGS | 0x80_0000, 0, 0, 0, 0, 0]), KILL);
    }

    #[test]
    fn arguments_are_checked() {
        let stub = |number, args| decide(X86_64, STUB, number, args);
        assert_eq!(stub(9, [0, 4096, 3, 0x32, !0, 0]), ALLOW);
        assert_eq!(stub(9, [0, 4096, 3, 0x4_0022, !0, 0]), KILL);
        assert_eq!(stub(9, [0, 4096, 3, 0x2022, !0, 0]), KILL);
        assert_eq!(stub(9, [0, 4096, 3, 0x1_0000_0022, !0, 0]), KILL);
        assert_eq!(stub(28, [0, 4096, 23, 0, 0, 0]), ALLOW);
        assert_eq!(stub(28, [0, 4096, 12, 0, 0, 0]), KILL);
        assert_eq!(stub(28, [0, 4096, 100, 0, 0, 0]), KILL);
        assert_eq!(stub(56, [FORK_FLAGS, 0, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(stub(56, [THREAD_FLAGS, 0, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(stub(56, [17, 0, 0, 0, 0, 0]), KILL);
        assert_eq!(stub(157, [1, 9, 0, 0, 0, 0]), ALLOW);
        assert_eq!(stub(157, [1, 0, 0, 0, 0, 0]), KILL);
        assert_eq!(stub(157, [1, 0x1_0000_0009, 0, 0, 0, 0]), KILL);
        assert_eq!(stub(157, [22, 9, 0, 0, 0, 0]), KILL);
        assert_eq!(stub(157, [15, STUB, 0, 0, 0, 0]), ALLOW);
        assert_eq!(stub(157, [0x1_0000_000f, STUB, 0, 0, 0, 0]), KILL);
        assert_eq!(stub(158, [0x1002, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(stub(158, [0x1022, 0, 0, 0, 0, 0]), KILL);
    }
}
