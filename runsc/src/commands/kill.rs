//! `runsc kill`.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::Signal;

use super::Env;
use crate::error::{Error, Result};
use crate::sandbox::{control, ending};
use crate::state::{Record, Status};

#[derive(Args)]
pub struct KillArgs {
    /// To every process of the container
    #[arg(short, long)]
    all: bool,

    /// Container
    id: String,

    /// Signal, by name or number
    #[arg(default_value = "SIGTERM", allow_hyphen_values = true)]
    signal: String,
}

pub fn run(env: &Env<'_>, args: &KillArgs) -> Result<i32> {
    let signal = parse_signal(&args.signal).ok_or_else(|| Error::new(format!("unknown signal {:?}", args.signal)))?;
    let record = env.store.load(&args.id)?;
    let status = record.status();
    if status == Status::Stopped && args.all {
        // None is left to be told, which is what was wanted.
        return Ok(0);
    }
    if !matches!(status, Status::Created | Status::Running | Status::Paused) {
        return Err(Error::new(format!(
            "container not running: {} is {}",
            args.id,
            status.name()
        )));
    }
    if signal == 0 {
        return Ok(0);
    }
    // Nothing of it has run that could be told.
    if status == Status::Created
        && signal == Signal::KILL.as_raw()
        && record
            .sandbox
            .is_some_and(|sandbox| sandbox.kill_and_wait(Duration::from_secs(5)))
    {
        ending::killed(&env.store.dir(&args.id));
        return Ok(0);
    }
    let sent = control::signal(&env.store.sandbox_dir(&record), &args.id, signal, args.all);
    if status == Status::Paused && signal == Signal::KILL.as_raw() && sent.is_ok() {
        // Nothing else would be seen before `resume`.
        let (container, mut record) = super::pause::open(env, &args.id)?;
        if record.status() == Status::Paused
            && let Err(e) = super::pause::thaw(env, &container, &mut record)
            && record.status() != Status::Stopped
        {
            return Err(e);
        }
    }
    if signal == Signal::KILL.as_raw() && sent.is_ok() && record.pod.is_none() {
        finish(&env.store.dir(&args.id), &record);
    }
    match (sent, record.sandbox) {
        (Ok(()), _) => Ok(0),
        // What does not answer can still be ended.
        (Err(_), Some(sandbox)) if signal == Signal::KILL.as_raw() && sandbox.signal(Signal::KILL) => Ok(0),
        (Err(_), _) if env.store.load(&args.id)?.status() == Status::Stopped => {
            Err(Error::new(format!("container not running: {}", args.id)))
        }
        (Err(e), _) => Err(e),
    }
}

/// Ends the host process by the signal that the guest's process has ended by: engines take from it how that was. It has
/// left its last words by then, and waits for this.
fn finish(dir: &Path, record: &Record) {
    let Some(sandbox) = record.sandbox else { return };
    let end = Instant::now() + Duration::from_secs(1);
    while !control::has_last_words(dir) {
        if Instant::now() > end || !sandbox.alive() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    sandbox.signal(Signal::KILL);
}

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`.
fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        // 0 only asks whether there is somebody.
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        "UNUSED" => "SYS",
        other => other,
    };
    if let Some(at) = NAMES.iter().position(|n| *n == name) {
        return i32::try_from(at + 1).ok();
    }
    let (start, offset): (i32, &str) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => (34, rest),
        (_, Some(rest)) => (64, rest),
        _ => return None,
    };
    let offset = if offset.is_empty() {
        0
    } else {
        offset.parse::<i32>().ok()?
    };
    Some(start.checked_add(offset)?).filter(|n| (34..=64).contains(n))
}

#[cfg(test)]
mod tests {
    use super::parse_signal;

    #[test]
    fn spellings() {
        for (text, number) in [
            ("0", 0),
            ("9", 9),
            ("KILL", 9),
            ("SIGTERM", 15),
            ("sigusr1", 10),
            ("SIGSYS", 31),
            ("RTMIN", 34),
            ("SIGRTMAX-1", 63),
        ] {
            assert_eq!(parse_signal(text), Some(number), "{text}");
        }
        for text in ["", "65", "-1", "SIG", "NOPE", "RTMIN-1", "RTMAX+1", "RTMIN+99999999999"] {
            assert_eq!(parse_signal(text), None, "{text}");
        }
    }
}
