//! `binary://` loggers: a program that reads what a process writes. It is called as containerd's runc shim calls it: `key=value` of the
//! address as arguments, the standard output at descriptor 3, the standard error at 4; when it is ready it closes descriptor 5.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use containerd_shim::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::children;

/// How long it may take to be ready, and to end after the streams have.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ends to write to.
pub struct Logger {
    pub stdout: File,
    pub stderr: File,
}

/// Whose output it is.
#[derive(Clone, Default)]
pub struct Owner {
    pub id: String,
    pub namespace: String,
}

/// Starts the logger of an address, which has lost its `binary://`.
pub fn start(address: &str, owner: &Owner) -> Result<Logger> {
    let (program, args) = parse(address)?;
    let failed = |e: &dyn std::fmt::Display| Error::Other(format!("logger {}: {e}", program.display()));
    let (out_reader, stdout) = std::io::pipe().map_err(|e| failed(&e))?;
    let (err_reader, stderr) = std::io::pipe().map_err(|e| failed(&e))?;
    let (ready, signal) = std::io::pipe().map_err(|e| failed(&e))?;
    let fds = [OwnedFd::from(out_reader), err_reader.into(), signal.into()];
    let mapped = fds.into_iter().zip(3..);
    let mapped = mapped.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    let mut command = Command::new(&program);
    command
        .args(args)
        .env("CONTAINER_ID", &owner.id)
        .env("CONTAINER_NAMESPACE", &owner.namespace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .fd_mappings(mapped.collect())
        .map_err(|e| failed(&e))?;
    let child = {
        let _guard = children::starting();
        let child = command.spawn().map_err(|e| failed(&e))?;
        children::track(child.id().cast_signed());
        child
    };
    // With it the ends that are the logger's.
    drop(command);
    let pid = rustix::process::Pid::from_child(&child);
    watch(child);
    let mut polled = [PollFd::new(&ready, PollFlags::IN)];
    let timeout = Timespec::try_from(PATIENCE).ok();
    if matches!(rustix::event::poll(&mut polled, timeout.as_ref()), Ok(n) if n > 0) {
        return Ok(Logger {
            stdout: OwnedFd::from(stdout).into(),
            stderr: OwnedFd::from(stderr).into(),
        });
    }
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    Err(failed(&"is not ready: it did not close descriptor 5"))
}

/// Reaps it.
fn watch(mut child: Child) {
    std::thread::spawn(move || {
        let pid = child.id().cast_signed();
        let _ = child.wait();
        children::untrack(pid);
    });
}

/// `/path?key=value&...`: the program and its arguments, the keys without `=` alone.
fn parse(address: &str) -> Result<(PathBuf, Vec<String>)> {
    let bad = |what: &str| Error::InvalidArgument(format!("logger binary://{address}: {what}"));
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let path = decode(path).ok_or_else(|| bad("a wrong % in it"))?;
    if !Path::new(&path).is_absolute() {
        return Err(bad("not an absolute path"));
    }
    let mut args = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        for word in pair.splitn(2, '=').filter(|word| !word.is_empty()) {
            args.push(decode(&word.replace('+', " ")).ok_or_else(|| bad("a wrong % in it"))?);
        }
    }
    Ok((path.into(), args))
}

/// Undoes `%XX`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses() {
        let parse = |address: &str| super::parse(address).map(|(path, args)| (path.display().to_string(), args));
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(parse("/bin/log").unwrap(), ("/bin/log".to_owned(), words(&[])));
        assert_eq!(
            parse("/a%20b?_NERDCTL_INTERNAL_LOGGING=%2Fvar%2Flib&flag&x=1+2").unwrap(),
            (
                "/a b".to_owned(),
                words(&["_NERDCTL_INTERNAL_LOGGING", "/var/lib", "flag", "x", "1 2"])
            )
        );
        for wrong in ["", "relative", "/x%", "/x?a=%zz", "/x%+1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
