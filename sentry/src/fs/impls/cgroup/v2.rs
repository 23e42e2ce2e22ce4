//! Files of groups of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst). It has no controllers inside.

use abi::Errno;
use abi::errno::Result;

use super::file::{At, Def, Kind, def};
use super::members;
use super::v1::times;
use crate::signal::{SigInfo, Signal};

/// Those that every group has.
pub fn files() -> Vec<Def> {
    vec![
        def("cgroup.controllers", Kind::Fixed("\n")),
        def("cgroup.events", Kind::Read(events)),
        def("cgroup.freeze", Kind::Change(frozen, freeze)),
        def("cgroup.kill", Kind::Order(kill)),
        def("cgroup.procs", Kind::Change(members::processes, members::move_process)),
        def("cgroup.stat", Kind::Read(stat)),
        def("cgroup.subtree_control", Kind::Change(|_| Ok("\n".to_owned()), control)),
        def("cgroup.threads", Kind::Change(members::threads, members::move_thread)),
        def(
            "cgroup.type",
            Kind::Change(|_| Ok("domain\n".to_owned()), |_, _| Err(Errno::EOPNOTSUPP)),
        ),
        def("cpu.stat", Kind::Read(cpu)),
    ]
}

fn events(at: &At<'_>) -> Result<String> {
    let threads = at.threads(true);
    let held = at.group.is_frozen_itself() || at.group.is_frozen_above();
    let frozen = held && !threads.iter().any(|task| task.runs_guest());
    let populated = u8::from(!threads.is_empty());
    Ok(format!("populated {populated}\nfrozen {}\n", u8::from(frozen)))
}

fn frozen(at: &At<'_>) -> Result<String> {
    Ok(format!("{}\n", u8::from(at.group.is_frozen_itself())))
}

fn freeze(at: &At<'_>, text: &str) -> Result<()> {
    let on = match text.parse::<i64>() {
        Ok(0) => false,
        Ok(1) => true,
        Ok(_) => return Err(Errno::ERANGE),
        Err(_) => return Err(Errno::EINVAL),
    };
    at.kernel.tasks.freeze_group(at.container, at.group, on);
    Ok(())
}

fn kill(at: &At<'_>, text: &str) -> Result<()> {
    match text.parse::<i64>() {
        Ok(1) => {}
        Ok(_) => return Err(Errno::ERANGE),
        Err(_) => return Err(Errno::EINVAL),
    }
    for task in at.threads(true) {
        let _ = task.group.send_signal_forced(SigInfo::kernel(Signal::SIGKILL));
    }
    Ok(())
}

fn stat(at: &At<'_>) -> Result<String> {
    let beneath = at.group.subtree().len().saturating_sub(1);
    Ok(format!("nr_descendants {beneath}\nnr_dying_descendants 0\n"))
}

/// Controllers for the groups beneath: there are none to give.
fn control(_: &At<'_>, text: &str) -> Result<()> {
    match text.is_empty() {
        true => Ok(()),
        false if text.split_whitespace().all(|word| word.starts_with(['+', '-'])) => Err(Errno::ENOENT),
        false => Err(Errno::EINVAL),
    }
}

fn cpu(at: &At<'_>) -> Result<String> {
    let [user, system] = times(at).map(|ns| ns / 1000);
    let usage = user.saturating_add(system);
    Ok(format!("usage_usec {usage}\nuser_usec {user}\nsystem_usec {system}\n"))
}
