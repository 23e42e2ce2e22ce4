//! `run` and `do`: waiting for the container, with signals passed on to it.

use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{WaitId, WaitIdOptions};

use super::launch::Launched;
use super::relay::Running;
use super::{Terminal, control, terminal};
use crate::error::{Context, Error, Result};

/// Signals of this process, blocked and readable.
pub struct Signals {
    fd: SignalFd,
}

/// What is passed on. The rest is either this process's own business or cannot be caught.
const FORWARDED: [Signal; 10] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
];

impl Signals {
    pub fn catch() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in FORWARDED {
            set.add(signal);
        }
        set.add(Signal::SIGWINCH);
        // Restoring the terminal from the background must not stop this process.
        set.add(Signal::SIGTTOU);
        set.thread_block().context(|| "block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&set, flags).context(|| "signalfd")?;
        Ok(Self { fd })
    }

    /// Where they are read.
    pub fn fd(&self) -> &SignalFd {
        &self.fd
    }
}

/// What a process in the foreground does for its terminal: the own one is raw, a new one is carried to and fro.
pub struct Screen {
    _raw: Option<terminal::Raw>,
    _relay: Option<Running>,
}

impl Screen {
    pub fn new(terminal: &Terminal) -> Result<Self> {
        let own = matches!(terminal, Terminal::Own);
        let relay = match terminal {
            Terminal::Relay(relay) => Some(relay.run()?),
            _ => None,
        };
        Ok(Self {
            _raw: own.then(terminal::Raw::new).transpose()?,
            _relay: relay,
        })
    }
}

/// Waits until the sandbox has ended; gives the code to exit with.
pub fn wait(dir: &Path, id: &str, launched: &Launched, signals: &Signals, terminal: &Terminal) -> Result<i32> {
    let _screen = Screen::new(terminal)?;
    loop {
        let mut polled = [
            PollFd::new(&launched.pidfd, PollFlags::IN),
            PollFd::new(&signals.fd, PollFlags::IN),
        ];
        match rustix::event::poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context(|| "wait for the sandbox"),
        }
        let [ended, signalled] = polled.map(|p| !p.revents().is_empty());
        if signalled {
            while let Ok(Some(info)) = signals.fd.read_signal() {
                let Ok(number) = i32::try_from(info.ssi_signo) else {
                    continue;
                };
                // A container that is ending does not answer, and need not.
                let _ = match Signal::try_from(number) {
                    Ok(Signal::SIGWINCH) => match terminal {
                        Terminal::Own => control::resize(dir, id),
                        // The sandbox hears of it by the terminal itself.
                        Terminal::Relay(relay) => {
                            relay.resize();
                            Ok(())
                        }
                        Terminal::None | Terminal::Null | Terminal::Socket(_) => Ok(()),
                    },
                    Ok(Signal::SIGTTOU) => Ok(()),
                    _ => control::signal(dir, id, number, false),
                };
            }
        }
        if ended {
            return exit_code(dir, launched);
        }
    }
}

fn exit_code(dir: &Path, launched: &Launched) -> Result<i32> {
    let status = rustix::process::waitid(WaitId::PidFd(launched.pidfd.as_fd()), WaitIdOptions::EXITED)
        .context(|| "wait for the sandbox")?
        .ok_or_else(|| Error::new("the sandbox has no exit status"))?;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(code),
        (None, Some(signal)) if launched.stands_for_guest() || control::has_last_words(dir) => Ok(128 + signal),
        (None, Some(signal)) => {
            // Without last words this was done to the sandbox itself.
            let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
            let hint = match name {
                "SIGSYS" => ": a host call that is not on its list (dmesg may tell: type=1326)",
                "SIGSEGV" | "SIGABRT" => ": a fault of its own",
                _ => "",
            };
            Err(Error::with_code(
                format!("the sandbox was killed by {name}{hint}"),
                128 + signal,
            ))
        }
        (None, None) => Err(Error::new("the sandbox has no exit status")),
    }
}
