//! `runsc create` and `runsc run`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Env;
use crate::config;
use crate::error::{Error, Result};
use crate::sandbox::{self, Start, Terminal};

#[derive(Args)]
pub struct CreateArgs {
    /// Directory of config.json [default: the current one]
    #[arg(short, long, value_name = "DIR")]
    bundle: Option<PathBuf>,

    /// Configuration, in the bundle or anywhere [default: config.json]
    #[arg(short = 'f', long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// File to write the pid of the sandbox to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Unix socket that receives the master end of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// Accepted for engines: the sandbox's root is never the host's
    #[arg(long)]
    no_pivot: bool,

    /// Accepted for engines: the guest has keyrings of its own
    #[arg(long)]
    no_new_keyring: bool,

    /// Give the guest this many further descriptors, from 3
    #[arg(long, default_value = "0", value_name = "N")]
    preserve_fds: u32,

    /// Container
    id: String,
}

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    create: CreateArgs,

    /// Return when the container runs
    #[arg(short, long)]
    detach: bool,

    /// Leave the container when its process has ended
    #[arg(long)]
    keep: bool,

    /// Accepted for scripts written for runc
    #[arg(long)]
    no_subreaper: bool,
}

pub fn create(env: &Env<'_>, args: &CreateArgs) -> Result<i32> {
    let (plan, bundle) = plan(env, args)?;
    let terminal = terminal(args.console_socket.as_deref(), plan.container.process.terminal, true)?;
    let container = env.store.create(&args.id)?;
    sandbox::create(env, container, &start(args, bundle, terminal, false), plan)?;
    Ok(0)
}

pub fn run(env: &Env<'_>, args: &RunArgs) -> Result<i32> {
    let _ = args.no_subreaper;
    let (plan, bundle) = plan(env, &args.create)?;
    let terminal = terminal(
        args.create.console_socket.as_deref(),
        plan.container.process.terminal,
        args.detach,
    )?;
    let container = env.store.create(&args.create.id)?;
    let start = start(&args.create, bundle, terminal, !args.detach);
    if args.detach {
        sandbox::run_detached(env, container, &start, plan)
    } else {
        sandbox::run(
            env,
            container,
            &Start {
                keep: args.keep,
                ..start
            },
            plan,
        )
    }
}

fn plan(env: &Env<'_>, args: &CreateArgs) -> Result<(config::Plan, PathBuf)> {
    let _ = (args.no_pivot, args.no_new_keyring);
    let bundle = config::read_bundle(args.bundle.as_deref().unwrap_or(".".as_ref()), args.config.as_deref())?;
    let dir = bundle.dir.clone();
    let plan = config::plan(&args.id, bundle, env.globals)?;
    env.log.notes(&plan.notes);
    Ok((plan, dir))
}

fn start(args: &CreateArgs, bundle: PathBuf, terminal: Terminal, foreground: bool) -> Start {
    Start {
        bundle,
        config: args.config.clone(),
        pid_file: args.pid_file.clone(),
        preserve_fds: args.preserve_fds,
        terminal,
        foreground,
        keep: false,
    }
}

/// Where the guest's terminal is, with runc's complaints.
pub fn terminal(socket: Option<&Path>, wanted: bool, detached: bool) -> Result<Terminal> {
    match (wanted, socket) {
        (true, Some(socket)) if detached => Ok(Terminal::Socket(socket.to_owned())),
        (true, None) if !detached && sandbox::have_own_terminal() => Ok(Terminal::Own),
        (true, None) if !detached => sandbox::Relay::new().map(Terminal::Relay),
        (true, None) => Err(Error::new(
            "cannot allocate tty if runsc will detach without setting console socket: use --console-socket",
        )),
        (_, Some(_)) => Err(Error::new(
            "cannot use console socket if runsc will not detach or allocate tty",
        )),
        (false, None) => Ok(Terminal::None),
    }
}
