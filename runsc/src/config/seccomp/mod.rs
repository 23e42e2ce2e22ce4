//! `linux.seccomp`: judged here, compiled to the classic BPF that the Sentry runs on the guest's calls.

mod compile;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall};

use super::bad;
use crate::error::Result;
use compile::{Condition, Profile, Rule};

pub use compile::Insn;

const EPERM: u32 = 1;
const MAX_ERRNO: u32 = 4095;

/// The program of a profile.
pub fn program(seccomp: &LinuxSeccomp) -> Result<Vec<Insn>> {
    let default = action(
        "linux.seccomp.defaultAction",
        seccomp.default_action(),
        seccomp.default_errno_ret(),
    )?;
    // A listener that no rule notifies is never called, as with runc; each rule that would is refused.
    // The flags ask for what is so anyway: all threads have the filter, and calls are logged by --strace alone.
    let mut profile = Profile {
        default,
        rules: Vec::new(),
    };
    for (i, syscall) in seccomp.syscalls().iter().flatten().enumerate() {
        add(&mut profile, &format!("linux.seccomp.syscalls[{i}]"), syscall)?;
    }
    compile::compile(&profile).ok_or_else(|| {
        bad(
            "linux.seccomp",
            "the filter is longer than the kernel's 4096 instructions",
        )
    })
}

fn add(profile: &mut Profile, field: &str, syscall: &LinuxSyscall) -> Result<()> {
    if syscall.names().is_empty() {
        return Err(bad(format!("{field}.names"), "empty"));
    }
    if syscall.action() == LinuxSeccompAction::ScmpActNotify && syscall.names().iter().any(|name| name == "write") {
        // Not with any runtime: it tells its parent by it that the filter is there.
        let what = "SCMP_ACT_NOTIFY cannot be used for the write syscall";
        return Err(bad(format!("{field}.action"), what));
    }
    let verdict = action(&format!("{field}.action"), syscall.action(), syscall.errno_ret())?;
    let args = syscall.args().as_deref().unwrap_or_default();
    let mut conditions = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        if arg.index() > 5 {
            let field = format!("{field}.args[{i}].index");
            return Err(bad(field, format_args!("{} is not between 0 and 5", arg.index())));
        }
        conditions.push(condition(arg));
    }
    // Several conditions on one argument are alternatives, as runc takes them: no value would meet them all.
    let twice = args
        .iter()
        .enumerate()
        .any(|(i, a)| args.iter().skip(i + 1).any(|b| a.index() == b.index()));
    let sets: Vec<Vec<Condition>> = if twice {
        conditions.into_iter().map(|c| vec![c]).collect()
    } else {
        vec![conditions]
    };
    for name in syscall.names() {
        // Profiles list the calls of all architectures; a name that is unknown here can never be called.
        let Some(nr) = sentry::syscalls::rows()
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.nr)
        else {
            continue;
        };
        for conditions in &sets {
            profile.rules.push(Rule {
                nr,
                conditions: conditions.clone(),
                verdict,
            });
        }
    }
    Ok(())
}

fn condition(arg: &LinuxSeccompArg) -> Condition {
    use oci_spec::runtime::LinuxSeccompOperator as Op;
    let (index, value) = (u32::try_from(arg.index()).unwrap_or(0), arg.value());
    match arg.op() {
        Op::ScmpCmpEq => Condition::masked(index, u64::MAX, value),
        Op::ScmpCmpNe => Condition::masked(index, u64::MAX, value).not(),
        Op::ScmpCmpMaskedEq => Condition::masked(index, value, arg.value_two().unwrap_or(0)),
        Op::ScmpCmpGt => Condition::above(index, value),
        Op::ScmpCmpLe => Condition::above(index, value).not(),
        Op::ScmpCmpGe => Condition::at_least(index, value),
        Op::ScmpCmpLt => Condition::at_least(index, value).not(),
    }
}

/// `SECCOMP_RET_*` with its data.
fn action(field: &str, action: LinuxSeccompAction, errno_ret: Option<u32>) -> Result<u32> {
    use LinuxSeccompAction as Action;
    use sentry::task::seccomp::action as ret;
    let data = |default: u32| match errno_ret.unwrap_or(default) {
        data if data <= MAX_ERRNO => Ok(data),
        data => Err(bad(
            format!("{field}: errnoRet"),
            format_args!("{data} is above {MAX_ERRNO}"),
        )),
    };
    if errno_ret.is_some() && !matches!(action, Action::ScmpActErrno | Action::ScmpActTrace) {
        return Err(bad(field, format_args!("{action} takes no errnoRet")));
    }
    Ok(match action {
        Action::ScmpActKill | Action::ScmpActKillThread => ret::KILL_THREAD,
        Action::ScmpActKillProcess => ret::KILL_PROCESS,
        Action::ScmpActTrap => ret::TRAP,
        Action::ScmpActErrno => ret::ERRNO | data(EPERM)?,
        Action::ScmpActTrace => ret::TRACE | data(EPERM)?,
        Action::ScmpActLog => ret::LOG,
        Action::ScmpActAllow => ret::ALLOW,
        Action::ScmpActNotify => return Err(bad(field, "SCMP_ACT_NOTIFY: user notification is not supported")),
    })
}
