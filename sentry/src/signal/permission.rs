//! Who may signal whom (`kill(2)`).

use crate::cred::cap;
use crate::task::{Task, ThreadGroup};

use super::info::{Detail, code};
use super::{SigInfo, Signal};

/// Like `check_kill_permission`: may `sender` send this signal (none: only look) to `target`?
pub fn may_kill(sender: &Task, target: &Task, signal: Option<Signal>) -> bool {
    if sender.group.tgid == target.group.tgid {
        return true;
    }
    let (from, to) = (sender.cred(), target.cred());
    let same = |id: u32| id == to.uid || id == to.suid;
    if same(from.euid) || same(from.uid) || from.has_cap_in(&to.user_ns, cap::KILL) {
        return true;
    }
    signal == Some(Signal::SIGCONT) && same_session(sender, target)
}

fn same_session(a: &Task, b: &Task) -> bool {
    let tasks = &a.kernel.tasks;
    match (tasks.session(&a.group), tasks.session(&b.group)) {
        (Some(a), Some(b)) => std::sync::Arc::ptr_eq(&a, &b),
        _ => false,
    }
}

/// What `kill(2)` (`SI_USER`) or `tgkill(2)` (`SI_TKILL`) tells `target` about `sender`.
pub fn sender_info(
    sender: &Task,
    target: &ThreadGroup,
    target_cred: &crate::cred::Cred,
    signal: Signal,
    tkill: bool,
) -> SigInfo {
    SigInfo {
        signal,
        errno: 0,
        code: if tkill { code::SI_TKILL } else { code::SI_USER },
        detail: Detail::User {
            pid: sender.group.pid.in_ns(&target.pid.ns),
            uid: target_cred.user_ns.uid_out(sender.cred().uid),
            value: 0,
        },
    }
}
