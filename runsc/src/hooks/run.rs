//! One hook: started, given the state, waited for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags};
use serde_json::Value;

use super::Hook;
use crate::error::{Context, Error, Result, words};
use crate::namespace::{self, in_namespace};
use crate::state::wait_gone;

/// Of a hook's output, as much as an error message bears.
const QUOTED: u64 = 4096;

/// Namespaces of the container that a hook runs in.
pub struct Namespaces {
    network: File,
    /// And the working directory there.
    mounts: Option<(File, PathBuf)>,
}

impl Namespaces {
    /// Those of two processes that are held, with the container's root.
    pub fn of(sandbox: i32, gofer: Option<(i32, &Path)>) -> Result<Self> {
        Ok(Self {
            network: namespace::open(sandbox, "net")?,
            mounts: gofer
                .map(|(pid, root)| Ok((namespace::open(pid, "mnt")?, root.to_owned())))
                .transpose()?,
        })
    }
}

/// Runs a hook to its end.
pub fn run(hook: &Hook, state: &Value, within: Option<&Namespaces>) -> Result<()> {
    let Some(Namespaces { network, mounts }) = within else {
        return run_here(hook, state);
    };
    let what = || "enter the container's namespaces".to_owned();
    match mounts {
        None => in_namespace(network, CloneFlags::CLONE_NEWNET, what, || run_here(hook, state)),
        Some((mounts, root)) => in_namespace(mounts, CloneFlags::CLONE_NEWNS, what, || {
            // Names that do not begin with a slash are the container's, as with runc.
            rustix::process::chdir(root).context(|| root.display().to_string())?;
            // The thread is for this hook alone.
            nix::sched::setns(network, CloneFlags::CLONE_NEWNET).context(what)?;
            run_here(hook, state)
        }),
    }
}

fn run_here(hook: &Hook, state: &Value) -> Result<()> {
    // Files rather than pipes: a daemon that the hook leaves behind may keep them open.
    let (input, output) = (with_text(&state.to_string())?, memory()?);
    let stream = || output.try_clone().map(Stdio::from).context(|| "its output");
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    if hook.env.is_some() {
        command.env_clear();
    }
    for var in hook.env.iter().flatten() {
        let (name, value) = var.split_once('=').unwrap_or((var, ""));
        if !name.is_empty() {
            command.env(name, value);
        }
    }
    command.stdin(input).stdout(stream()?).stderr(stream()?);
    let child = command.spawn().map_err(|e| Error::new(words(&e)))?;
    let status = wait(child, hook.timeout_s)?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => killed(signal.unwrap_or(0)),
    };
    Err(Error::new(match said(output) {
        text if text.is_empty() => how,
        text => format!("{how}: {text}"),
    }))
}

fn wait(mut child: Child, timeout_s: Option<u64>) -> Result<ExitStatus> {
    let what = || "wait for it";
    if let Some(seconds) = timeout_s {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::new("it has no pid"))?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).context(what)?;
        if !wait_gone(&pidfd, Duration::from_secs(seconds)) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::new(format!(
                "still running after its timeout of {seconds} s, killed"
            )));
        }
    }
    child.wait().context(what)
}

/// How a hook ended that a signal ended.
pub(super) fn killed(signal: i32) -> String {
    match Signal::try_from(signal) {
        // What a seccomp profile does to it.
        Ok(Signal::SIGSYS) => "signal: bad system call".to_owned(),
        Ok(signal) => format!("signal: {}", signal.as_str()),
        Err(_) => format!("signal: {signal}"),
    }
}

/// What the hook wrote, from its beginning.
pub(super) fn said(mut output: File) -> String {
    let mut text = Vec::new();
    let _ = output.seek(SeekFrom::Start(0));
    let _ = output.take(QUOTED).read_to_end(&mut text);
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// A file in memory that is read from its start.
pub(super) fn with_text(text: &str) -> Result<File> {
    let mut file = memory()?;
    file.write_all(text.as_bytes()).context(|| "its input")?;
    file.seek(SeekFrom::Start(0)).context(|| "its input")?;
    Ok(file)
}

pub(super) fn memory() -> Result<File> {
    rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC)
        .map(File::from)
        .context(|| "memory file")
}
