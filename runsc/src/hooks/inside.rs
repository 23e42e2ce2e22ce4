//! `startContainer` hooks: programs of the container, run in it as its first process would be, before that one.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use sentry::boot::config::ProcessConfig;
use sentry::boot::control::{Reply, Request};
use serde_json::Value;

use super::run::{killed, memory, said, with_text};
use super::{Hook, Kept, state};
use crate::error::{Context, Error, Result};
use crate::sandbox::control::Connection;
use crate::state::Record;

/// Runs them in order; the first failure ends it.
pub fn start_container(dir: &Path, kept: &Kept, record: &Record) -> Result<()> {
    let hooks = &kept.hooks.start_container;
    let (Some(process), false) = (&kept.process, hooks.is_empty()) else {
        return Ok(());
    };
    // The container's own numbers are what such a hook sees.
    let state = state(record, "created", 1);
    for (i, hook) in hooks.iter().enumerate() {
        run(dir, hook, process, &state, record)
            .context(|| format!("error running hook startContainer[{i}] {}", hook.path.display()))?;
    }
    Ok(())
}

fn run(dir: &Path, hook: &Hook, process: &ProcessConfig, state: &Value, record: &Record) -> Result<()> {
    let path = hook.path.to_string_lossy().into_owned();
    let args = match hook.args.as_slice() {
        [] => vec![path.clone()],
        args => args.to_vec(),
    };
    let process = ProcessConfig {
        program: Some(path),
        args,
        env: hook.env.clone().unwrap_or_else(|| process.env.clone()),
        terminal: false,
        console_size: None,
        ..process.clone()
    };
    let (input, output) = (with_text(&state.to_string())?, memory()?);
    let connection = Connection::new(dir)?;
    let request = Request::Exec {
        container: record.id.clone(),
        process: Box::new(process),
        extra: Vec::new(),
    };
    connection.send(&request, &[input.as_fd(), output.as_fd(), output.as_fd()])?;
    match connection.receive()? {
        Some(Reply::Started { .. }) => {}
        Some(Reply::Failed { message, .. }) => return Err(Error::new(message)),
        _ => return Err(crate::sandbox::control::closed()),
    }
    match hook.timeout_s {
        // Who closes the connection kills the process.
        Some(seconds) => connection.wait_at_most(Duration::from_secs(seconds))?,
        None => connection.be_patient()?,
    }
    let status = match connection.receive() {
        Ok(Some(Reply::Ended { status })) => status,
        Ok(_) => return Err(crate::sandbox::control::closed()),
        Err(_) if hook.timeout_s.is_some() => {
            return Err(Error::new(format!(
                "still running after its timeout of {} s, killed",
                hook.timeout_s.unwrap_or(0)
            )));
        }
        Err(e) => return Err(e),
    };
    judge(status, output)
}

fn judge(status: i32, output: File) -> Result<()> {
    let how = match (status & 0x7f, (status >> 8) & 0xff) {
        (0, 0) => return Ok(()),
        (0, code) => format!("exit status {code}"),
        (signal, _) => killed(signal),
    };
    Err(Error::new(match said(output) {
        text if text.is_empty() => how,
        text => format!("{how}: {text}"),
    }))
}
