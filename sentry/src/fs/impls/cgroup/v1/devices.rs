//! The device controller.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use crate::cred::cap;

pub fn files() -> Vec<Def> {
    vec![
        def("devices.allow", Kind::Order(|at, text| change(at, true, text))),
        def("devices.deny", Kind::Order(|at, text| change(at, false, text))),
        def("devices.list", Kind::Read(|at| Ok(at.group.devices.lock().show()))),
    ]
}

fn change(at: &At<'_>, allow: bool, text: &str) -> Result<()> {
    let root = &at.kernel.root_user_ns;
    if at.by.is_none_or(|task| !task.cred().has_cap_in(root, cap::SYS_ADMIN)) {
        return Err(Errno::EPERM);
    }
    let above = match at.group.parent() {
        Some(parent) => parent.devices.lock().clone(),
        None => at.container.hierarchies.given.clone(),
    };
    let has_children = !at.group.children().is_empty();
    at.container.divide_devices();
    at.group.devices.lock().write(allow, text, &above, has_children)
}
