//! The list of host calls that a Sentry may make once it runs a guest (DESIGN S4). Anything else kills it.
//!
//! The list holds for every thread, those of later included. Guest processes are not under it: they descend from a process
//! that was started before, and have the stub's own filter.

mod rules;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use abi::nr;

/// What an argument's low 32 bits must look like. The kernel ignores the rest of every argument checked here.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Argument, value.
    Equals(u8, u32),
    /// Argument, bits of which none may be set.
    Without(u8, u32),
    /// Argument, bits of which all must be set.
    With(u8, u32),
    /// The argument is the descriptor of the donated procfs.
    ProcFd(u8),
}

/// One call, or one way to make it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub call: u32,
    /// All must hold. None: any arguments.
    pub checks: &'static [Check],
    /// Why the Sentry needs it.
    pub reason: &'static str,
}

/// A call with any arguments.
pub const fn allow(call: u32, reason: &'static str) -> Rule {
    Rule {
        call,
        checks: &[],
        reason,
    }
}

/// A call if its arguments pass.
pub const fn when(call: u32, checks: &'static [Check], reason: &'static str) -> Rule {
    Rule { call, checks, reason }
}

/// What this Sentry needs besides the common list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs<'a> {
    /// `--platform`: its own rules come along.
    pub platform: &'a str,
    /// `--network=host`: sockets.
    pub host_network: bool,
    /// The donated procfs, the only directory in which a file may be opened.
    pub proc_fd: Option<i32>,
}

/// Puts the list in force for all threads. There is no way back.
pub fn confine(needs: &Needs<'_>) -> io::Result<()> {
    let failed = |e: &dyn std::fmt::Display| io::Error::other(format!("seccomp filter of the sandbox: {e}"));
    let list = program(needs).map_err(|e| failed(&e))?;
    let no_clone3 = no_clone3().map_err(|e| failed(&e))?;
    seccompiler::apply_filter_all_threads(&no_clone3).map_err(|e| failed(&e))?;
    seccompiler::apply_filter_all_threads(&list).map_err(|e| failed(&e))
}

fn rules(needs: &Needs<'_>) -> impl Iterator<Item = &'static Rule> {
    let platform: &[Rule] = match needs.platform {
        "systrap" => rules::SYSTRAP,
        "ptrace" => rules::PTRACE,
        _ => &[],
    };
    let network: &[Rule] = if needs.host_network { rules::HOST_NETWORK } else { &[] };
    rules::COMMON.iter().chain(platform).chain(network)
}

type Built<T> = Result<T, seccompiler::BackendError>;

fn program(needs: &Needs<'_>) -> Built<BpfProgram> {
    let mut list = BTreeMap::<i64, Vec<SeccompRule>>::new();
    // With any arguments beats every narrower rule for the same call.
    let mut open: Vec<u32> = rules(needs).filter(|r| r.checks.is_empty()).map(|r| r.call).collect();
    open.sort_unstable();
    for rule in rules(needs) {
        if open.binary_search(&rule.call).is_ok() {
            list.insert(i64::from(rule.call), Vec::new());
            continue;
        }
        // Without a procfs, a rule about it can never be met.
        let Some(conditions) = rule
            .checks
            .iter()
            .map(|check| condition(*check, needs.proc_fd))
            .collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let conditions = conditions.into_iter().collect::<Built<Vec<_>>>()?;
        list.entry(i64::from(rule.call))
            .or_default()
            .push(SeccompRule::new(conditions)?);
    }
    SeccompFilter::new(
        list,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?
    .try_into()
}

/// `clone3` passes its flags in memory, where no filter can see them: it fails, and the C library goes back to `clone`.
/// The list lets it pass, since of two filters' answers the harder one counts.
fn no_clone3() -> Built<BpfProgram> {
    let list = BTreeMap::from([(i64::from(nr::CLONE3), Vec::new())]);
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(list, SeccompAction::Allow, enosys, TargetArch::x86_64)?.try_into()
}

fn condition(check: Check, proc_fd: Option<i32>) -> Option<Built<SeccompCondition>> {
    let (arg, op, value) = match check {
        Check::Equals(arg, value) => (arg, SeccompCmpOp::Eq, value),
        Check::Without(arg, bits) => (arg, SeccompCmpOp::MaskedEq(bits.into()), 0),
        Check::With(arg, bits) => (arg, SeccompCmpOp::MaskedEq(bits.into()), bits),
        Check::ProcFd(arg) => (arg, SeccompCmpOp::Eq, u32::try_from(proc_fd?).ok()?),
    };
    Some(SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_compile() {
        for platform in ["systrap", "ptrace"] {
            for host_network in [false, true] {
                let needs = Needs {
                    platform,
                    host_network,
                    proc_fd: Some(5),
                };
                assert!(!program(&needs).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn each_rule_has_its_reason_and_none_stands_twice() {
        for platform in ["systrap", "ptrace"] {
            let needs = Needs {
                platform,
                host_network: true,
                proc_fd: None,
            };
            let all: Vec<_> = rules(&needs).collect();
            for (i, rule) in all.iter().enumerate() {
                assert!(!rule.reason.is_empty());
                let twin = all
                    .iter()
                    .skip(i + 1)
                    .any(|r| r.call == rule.call && (r.checks.is_empty() || rule.checks.is_empty()));
                assert!(!twin, "call {} stands twice", rule.call);
            }
        }
    }

    /// A worker may be started by one thread while another puts the list in force.
    #[test]
    fn a_thread_starts_behind_the_list() {
        const CONFINED: &str = "RUNSC_TEST_CONFINED";
        if std::env::var_os(CONFINED).is_some() {
            confine(&Needs::default()).unwrap();
            let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| 7);
            std::process::exit(thread.unwrap().join().unwrap());
        }
        let name = "host::confine::tests::a_thread_starts_behind_the_list";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let status = child.args(["--exact", name]).env(CONFINED, "1").status().unwrap();
        assert_eq!(status.code(), Some(7), "{status}");
    }

    #[test]
    fn nothing_of_the_outside() {
        let needs = Needs {
            platform: "systrap",
            host_network: false,
            proc_fd: None,
        };
        for call in [
            nr::SOCKET,
            nr::EXECVE,
            nr::EXECVEAT,
            nr::OPEN,
            nr::CREAT,
            nr::MOUNT,
            nr::PTRACE,
            nr::BPF,
            nr::SETNS,
        ] {
            assert!(!rules(&needs).any(|r| r.call == call), "call {call}");
        }
    }

    #[test]
    fn a_platforms_calls_come_with_it_only() {
        let all = |platform| {
            let needs = Needs {
                platform,
                host_network: false,
                proc_fd: None,
            };
            rules(&needs).collect::<Vec<_>>()
        };
        let ptrace: Vec<_> = all("ptrace").into_iter().filter(|r| r.call == nr::PTRACE).collect();
        assert!(!ptrace.is_empty());
        // PTRACE_ATTACH, PTRACE_SEIZE, PTRACE_PEEKDATA and PTRACE_POKEDATA are not among them, nor any request.
        for rule in ptrace {
            let Some(Check::Equals(0, request)) = rule.checks.first() else {
                panic!("any request: {}", rule.reason);
            };
            assert!(![1, 2, 4, 5, 16, 0x4206].contains(request), "{}", rule.reason);
        }
        assert!(!all("systrap").iter().any(|r| r.call == nr::PTRACE));
        assert!(!all("none").iter().any(|r| r.call == nr::PTRACE));
    }
}
