//! The freezer.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};

pub fn files() -> Vec<Def> {
    vec![
        def(
            "freezer.parent_freezing",
            Kind::Read(|at| Ok(digit(at.group.is_frozen_above()))),
        ),
        def(
            "freezer.self_freezing",
            Kind::Read(|at| Ok(digit(at.group.is_frozen_itself()))),
        ),
        def("freezer.state", Kind::Change(state, set_state)),
    ]
}

fn digit(on: bool) -> String {
    format!("{}\n", u8::from(on))
}

fn state(at: &At<'_>) -> Result<String> {
    let held = at.group.is_frozen_itself() || at.group.is_frozen_above();
    let word = match held {
        false => "THAWED\n",
        true if at.threads(true).iter().any(|task| task.runs_guest()) => "FREEZING\n",
        true => "FROZEN\n",
    };
    Ok(word.to_owned())
}

fn set_state(at: &At<'_>, text: &str) -> Result<()> {
    let on = match text {
        "FROZEN" => true,
        "THAWED" => false,
        _ => return Err(Errno::EINVAL),
    };
    at.kernel.tasks.freeze_group(at.container, at.group, on);
    Ok(())
}
