//! `runsc boot`: the process that becomes the Sentry.

use std::os::fd::{IntoRawFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::thread::CapabilitySet;
use sentry::boot::config::{BootConfig, BootError, BootStatus};
use serde::{Deserialize, Serialize};

use super::jail;
use crate::error::{Context, Error, Result};

/// Descriptor of the message, in both processes.
pub const MESSAGE_FD: i32 = 3;

/// What `runsc` tells this process.
#[derive(Serialize, Deserialize)]
pub struct BootMessage {
    pub config: BootConfig,
    /// End when the runsc that waits in the foreground ends.
    pub die_with_parent: bool,
    /// The terminal is the sandbox's own: take its hang-ups and changes of size.
    pub controlling_terminal: bool,
}

/// Carves out the jail and becomes the Sentry; gives the process's exit code.
pub fn boot_main() -> i32 {
    let mut message = match read_message() {
        Ok(message) => message,
        Err(e) => {
            eprintln!("runsc boot: {e}");
            return 128;
        }
    };
    if let Err(e) = jail(&mut message) {
        report(&message.config, &e);
        return 128;
    }
    sentry::boot::run(message.config)
}

fn read_message() -> Result<BootMessage> {
    let fd = platform::host::inherited::take(MESSAGE_FD).context(|| "donated configuration")?;
    let text = jail::read_all(std::os::fd::AsFd::as_fd(&fd))?;
    serde_json::from_slice(&text).context(|| "donated configuration")
}

/// DESIGN S4. The namespaces are there already: `runsc` made them with the process.
fn jail(message: &mut BootMessage) -> Result<()> {
    jail::private_mounts()?;
    // The Sentry looks at its guest processes through it, and there is no path to one later.
    let proc = jail::root_in_no_namespace()?;
    // The message's number has been taken once.
    let proc = rustix::io::fcntl_dupfd_cloexec(&proc, MESSAGE_FD.saturating_add(1)).context(|| "procfs")?;
    message.config.fds.proc = Some(proc.into_raw_fd());
    jail::raise_fd_limit();
    if let (true, Some(number)) = (message.controlling_terminal, message.config.fds.stdio.first()) {
        let terminal = platform::host::inherited::duplicate(*number).context(|| "terminal")?;
        message.config.fds.resized = Some(catch_resizes()?.into_raw_fd());
        rustix::process::ioctl_tiocsctty(terminal).context(|| "terminal")?;
    }
    // For those who join the namespace by the path of the process: to the guest its own kernel tells it.
    rustix::system::sethostname(message.config.container.hostname.as_bytes()).context(|| "set the host name")?;
    jail::drop_capabilities(CapabilitySet::empty())?;
    if message.die_with_parent {
        // After the capabilities: the kernel forgets this wish when credentials change. If the parent is gone already,
        // the start pipe is at its end, which ends the Sentry too.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .context(|| "die with runsc")?;
    }
    Ok(())
}

/// Changes of the terminal's size as something that can be read. Blocked here, before there are threads, the signal is so in
/// all of them.
fn catch_resizes() -> Result<OwnedFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGWINCH);
    set.thread_block().context(|| "block SIGWINCH")?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    SignalFd::with_flags(&set, flags)
        .map(OwnedFd::from)
        .context(|| "signalfd")
}

/// Tells the waiting `runsc` why there is no sandbox.
fn report(config: &BootConfig, error: &Error) {
    let status = BootStatus {
        error: Some(BootError {
            message: error.to_string(),
            exit_code: 128,
        }),
    };
    let (Some(number), Ok(text)) = (config.fds.ready, serde_json::to_string(&status)) else {
        return;
    };
    if let Ok(fd) = platform::host::inherited::take(number) {
        let _ = rustix::io::write(fd, format!("{text}\n").as_bytes());
    }
}
