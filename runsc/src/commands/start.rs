//! `runsc start`.

use super::Env;
use crate::error::{Error, Result};
use crate::sandbox::{self, ending};
use crate::state::Status;

pub fn run(env: &Env<'_>, id: &str) -> Result<i32> {
    let container = env.store.open(id)?;
    let mut record = container
        .read()?
        .ok_or_else(|| Error::new(format!("container does not exist: {id}")))?;
    match record.status() {
        Status::Created => {}
        Status::Stopped => {
            let why = ending::why(container.dir(), &record)
                .map_or_else(String::new, |why| format!(": the sandbox has ended: {why}"));
            return Err(Error::new(format!(
                "cannot start a container that has stopped: {id}{why}"
            )));
        }
        other => {
            return Err(Error::new(format!(
                "cannot start an already running container: {id} is {}",
                other.name()
            )));
        }
    }
    sandbox::start(env, &container, &mut record)?;
    Ok(0)
}
