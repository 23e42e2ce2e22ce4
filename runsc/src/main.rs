//! `runsc`: an OCI runtime whose containers run on a kernel of their own.

#![forbid(unsafe_code)]

mod cgroup;
mod cli;
mod commands;
mod config;
mod error;
mod hooks;
mod log;
mod namespace;
mod sandbox;
mod state;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use nix::sys::signal::{SigSet, Signal};

use cli::Cli;
use log::Log;

/// Exit code of a verb that failed, as runc's.
const FAILED: i32 = 1;

fn main() -> ExitCode {
    read_auxv();
    // The two halves of a sandbox are this same program, started with donated descriptors and no command line to parse.
    let code = match std::env::args_os().nth(1).as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("boot") => sandbox::boot_main(),
        Some("gofer") => sandbox::gofer_main(),
        Some("exec-stub") => sandbox::stub_main(),
        _ => command_line(),
    };
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(255))
}

/// The auxiliary vector is wanted later, for the guest's and for clocks, where there is no /proc to read it from: before
/// Linux 6.4 there is no call that gives it.
fn read_auxv() {
    if std::path::Path::new("/proc/self/auxv").exists() {
        let _ = rustix::param::linux_hwcap();
    }
}

fn command_line() -> i32 {
    // A limit on the size of files shall be an error with a name, not a death.
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    let _ = too_large.thread_block();
    sandbox::note_inherited();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let log = match Log::open(&cli.globals) {
        Ok(log) => log,
        Err(e) => {
            eprintln!("runsc: error: {e}");
            return FAILED;
        }
    };
    commands::dispatch(cli, &log).unwrap_or_else(|e| {
        log.error(&e.to_string());
        e.code().unwrap_or(FAILED)
    })
}

/// Help and version go to standard output; a wrong command line is one line like every other error.
fn usage(e: &clap::Error) -> i32 {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = e.print();
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            FAILED
        }
        _ => {
            let text = e.to_string();
            // clap's first paragraph says what is wrong, perhaps over several lines; what follows is advice.
            let paragraph = text.split("\n\n").next().unwrap_or(&text);
            let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            eprintln!(
                "runsc: error: {} (see runsc --help)",
                line.strip_prefix("error: ").unwrap_or(&line)
            );
            FAILED
        }
    }
}
