//! One file per verb.

pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod do_cmd;
pub mod events;
pub mod exec;
pub mod features;
pub mod install;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod spec;
pub mod start;
pub mod state;
pub mod syscalls;
pub mod update;
pub mod wait;

use crate::cli::{Cli, Globals, Verb};
use crate::error::{Context, Result};
use crate::log::Log;
use crate::state::Store;

/// What every verb gets.
pub struct Env<'a> {
    pub globals: &'a Globals,
    pub log: &'a Log,
    pub store: Store,
}

/// Carries out the verb; gives the exit code.
pub fn dispatch(cli: Cli, log: &Log) -> Result<i32> {
    let env = Env {
        globals: &cli.globals,
        log,
        store: Store::new(&cli.globals),
    };
    match cli.verb {
        Verb::Do(args) => do_cmd::run(&env, args),
        Verb::Run(args) => create::run(&env, &args),
        Verb::Create(args) => create::create(&env, &args),
        Verb::Start(args) => start::run(&env, &args.id),
        Verb::State(args) => state::run(&env, &args.id),
        Verb::Kill(args) => kill::run(&env, &args),
        Verb::Delete(args) => delete::run(&env, &args),
        Verb::Exec(args) => exec::run(&env, &args),
        Verb::List(args) => list::run(&env, &args),
        Verb::Ps(args) => ps::run(&env, &args),
        Verb::Pause(args) => pause::pause(&env, &args.id),
        Verb::Resume(args) => pause::resume(&env, &args.id),
        Verb::Update(args) => update::run(&env, &args),
        Verb::Events(args) => events::run(&env, &args),
        Verb::Wait(args) => wait::run(&env, &args),
        Verb::Features => features::run(),
        Verb::Checkpoint(args) => checkpoint::checkpoint(&args),
        Verb::Restore(args) => checkpoint::restore(&args),
        Verb::Spec(args) => spec::run(&env, &args),
        Verb::Install(args) => install::install(&args),
        Verb::Uninstall(args) => install::uninstall(&args),
        Verb::Syscalls(args) => syscalls::run(&args),
    }
}

/// Prints a long text; a reader that has seen enough (`| head`) is no error.
pub fn print(text: &str) -> Result<i32> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e).context(|| "standard output"),
        _ => Ok(0),
    }
}
