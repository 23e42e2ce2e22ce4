//! `/proc/PID/net`

use std::sync::{Arc, Weak};

use super::Proc;
use crate::fs::impls::pseudo::DirBuilder;
use crate::fs::{InodeOps, SuperBlock};
use crate::net::proc::{FILES, render};
use crate::task::Task;

pub(super) fn dir(_: &Arc<Proc>, sb: &Arc<SuperBlock>, task: &Arc<Task>, _ino: u64) -> Box<dyn InodeOps> {
    let mut dir = DirBuilder::new(sb);
    for name in FILES.into_iter().chain(["udp6", "sockstat6"]) {
        let task: Weak<Task> = Arc::downgrade(task);
        dir.text(name, move || {
            let task = task.upgrade().ok_or(abi::Errno::EINVAL)?;
            Ok(render(&task.ns().net, name))
        });
    }
    dir.into_ops()
}
