//! `runsc pause` and `runsc resume`.

use super::Env;
use crate::error::{Error, Result};
use crate::sandbox::control;
use crate::state::{Container, Phase, Record, Status};

pub fn pause(env: &Env<'_>, id: &str) -> Result<i32> {
    let (container, mut record) = open(env, id)?;
    match record.status() {
        Status::Created | Status::Running => {}
        other => {
            return Err(Error::new(format!(
                "container not running: {id} is {}: cannot pause it",
                other.name()
            )));
        }
    }
    let before = record.phase;
    record.phase = match before {
        Phase::Created => {
            return Err(Error::new(format!(
                "container not running: {id} is created: cannot pause it"
            )));
        }
        _ => Phase::Paused,
    };
    // First on record: if this runsc dies in between, `resume` puts things right.
    container.write(&record)?;
    control::pause(&env.store.sandbox_dir(&record), id).inspect_err(|_| {
        record.phase = before;
        let _ = container.write(&record);
    })?;
    Ok(0)
}

pub fn resume(env: &Env<'_>, id: &str) -> Result<i32> {
    let (container, mut record) = open(env, id)?;
    if record.status() != Status::Paused {
        return Err(Error::new(format!(
            "container not paused: {id} is {}",
            record.status().name()
        )));
    }
    thaw(env, &container, &mut record)?;
    Ok(0)
}

/// Lets a paused container go on.
pub fn thaw(env: &Env<'_>, container: &Container, record: &mut Record) -> Result<()> {
    control::resume(&env.store.sandbox_dir(record), &record.id)?;
    record.phase = Phase::Started;
    container.write(record)
}

/// Locks a container that must exist.
pub fn open(env: &Env<'_>, id: &str) -> Result<(Container, Record)> {
    let container = env.store.open(id)?;
    let record = container
        .read()?
        .ok_or_else(|| Error::new(format!("container does not exist: {id}")))?;
    Ok((container, record))
}
