//! `runsc exec`.

use std::path::PathBuf;

use clap::Args;
use sentry::boot::config::ProcessConfig;
use serde_json::{Value, json};

use super::Env;
use crate::config;
use crate::error::{Context, Error, Result};
use crate::sandbox::exec::{self, Exec};
use crate::state::{Record, Status};

/// Exit code of a process that could not be started, as runc's: the process's own codes are below.
const FAILED: i32 = 255;

#[derive(Args)]
pub struct ExecArgs {
    /// Take the process from this file: `process` of a config.json
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,

    /// Return when the process runs
    #[arg(short, long)]
    detach: bool,

    /// File to write the pid of the host process to that stands for the new one
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Unix socket that receives the master end of the process's terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,

    /// User to run as
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,

    /// Further groups
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,

    /// Working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,

    /// Set a variable of the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,

    /// Let no execve(2) give privileges
    #[arg(long)]
    no_new_privs: bool,

    /// Give the process this many further descriptors, from 3
    #[arg(long, default_value = "0", value_name = "N")]
    preserve_fds: u32,

    /// Group below the container's to start it in, for one controller or for all; may be repeated
    #[arg(long, value_name = "[CONTROLLER[,..]:]PATH")]
    cgroup: Vec<String>,

    /// Also in a paused container, where it waits
    #[arg(long)]
    ignore_paused: bool,

    /// Accepted for engines: the guest's kernel has no AppArmor
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,

    /// Accepted for engines: the guest's kernel has no SELinux
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,

    /// Accepted for scripts written for runc
    #[arg(long)]
    no_subreaper: bool,

    /// Container
    id: String,

    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

pub fn run(env: &Env<'_>, args: &ExecArgs) -> Result<i32> {
    start(env, args).map_err(|e| Error::with_code(format!("exec failed: {e}"), FAILED))
}

/// Each controller once; a path without any stands alone.
fn cgroups(list: &[String]) -> Result<Vec<(Option<String>, String)>> {
    let mut out: Vec<(Option<String>, String)> = Vec::new();
    for text in list {
        let (names, path) = match text.split_once(':') {
            Some((names, path)) => (names.split(',').map(|n| Some(n.to_owned())).collect(), path),
            None if list.len() == 1 => (vec![None], text.as_str()),
            None => {
                let want = "missing CONTROLLER: before the path, as there are several";
                return Err(Error::new(format!("--cgroup {text:?}: {want}")));
            }
        };
        for name in names {
            if out.iter().any(|(known, _)| *known == name) {
                return Err(Error::new(format!(
                    "--cgroup {text:?}: a controller that is given twice"
                )));
            }
            out.push((name, path.to_owned()));
        }
    }
    Ok(out)
}

fn start(env: &Env<'_>, args: &ExecArgs) -> Result<i32> {
    let _ = args.no_subreaper;
    let record = env.store.load(&args.id)?;
    match record.status() {
        Status::Stopped => return Err(Error::new("cannot exec in a stopped container")),
        Status::Creating => return Err(Error::new("cannot exec in a container that is being created")),
        Status::Paused if !args.ignore_paused => {
            return Err(Error::new(
                "cannot exec in a paused container (use --ignore-paused to override)",
            ));
        }
        _ => {}
    }
    for (flag, given) in [("--apparmor", &args.apparmor), ("--process-label", &args.process_label)] {
        if given.is_some() {
            env.log.tell(&format!("{flag}: without effect in the sandbox"));
        }
    }
    for cap in args
        .cap
        .iter()
        .filter(|cap| !config::all_capabilities().contains(&capability(cap).as_str()))
    {
        env.log.tell(&format!("--cap {cap:?}: unknown capability ignored"));
    }
    let (mut process, origin) = base(args, &record)?;
    apply(&mut process, args)?;
    let (spec, notes) = parse(process).map_err(|e| origin.name(&e))?;
    env.log.notes(&notes);
    let process = spec.process().as_ref().ok_or_else(|| Error::new("no process"))?;
    let cpus = config::cpus(process).map_err(|e| origin.name(&e))?;
    let process = config::process_config(process).map_err(|e| origin.name(&e))?;
    let terminal = super::create::terminal(args.console_socket.as_deref(), process.terminal, args.detach)?;
    exec::run(
        env,
        &record,
        &Exec {
            process: ProcessConfig {
                cpus,
                cgroups: cgroups(&args.cgroup)?,
                ..process
            },
            terminal,
            detach: args.detach,
            pid_file: args.pid_file.clone(),
            preserve_fds: args.preserve_fds,
        },
    )
}

/// Where a process description comes from, for messages.
enum Origin {
    Bundle,
    File(String),
}

impl Origin {
    fn name(&self, e: &Error) -> Error {
        match self {
            Self::Bundle => e.clone(),
            Self::File(file) => Error::new(e.to_string().replacen("config.json: process", file, 1)),
        }
    }
}

/// What is described by the file, or the container's first process with another command.
fn base(args: &ExecArgs, record: &Record) -> Result<(Value, Origin)> {
    if let Some(path) = &args.process {
        let name = path.display().to_string();
        let text = config::read_file(path)?;
        let value: Value = serde_json::from_slice(&text).context(|| &name)?;
        if !value.is_object() {
            return Err(Error::new(format!("{name}: not a JSON object")));
        }
        return Ok((value, Origin::File(name)));
    }
    if args.command.is_empty() {
        return Err(Error::new("want a command, or --process FILE"));
    }
    let bundle = config::read_bundle(&record.bundle, record.config.as_deref())?;
    let mut value = serde_json::to_value(bundle.spec.process()).context(|| "process")?;
    if let Some(process) = value.as_object_mut() {
        process.insert("args".into(), json!(args.command));
        process.insert("terminal".into(), json!(false));
    }
    Ok((value, Origin::Bundle))
}

/// What the flags change.
fn apply(process: &mut Value, args: &ExecArgs) -> Result<()> {
    let Some(process) = process.as_object_mut() else {
        return Err(Error::new("the container's config.json has no process"));
    };
    if args.tty {
        process.insert("terminal".into(), json!(true));
    }
    if args.no_new_privs {
        process.insert("noNewPrivileges".into(), json!(true));
    }
    if let Some(cwd) = &args.cwd {
        process.insert("cwd".into(), json!(cwd));
    }
    let user = process.entry("user").or_insert_with(|| json!({ "uid": 0, "gid": 0 }));
    if let Some(text) = &args.user {
        let (uid, gid) = ids(text)?;
        user["uid"] = json!(uid);
        if let Some(gid) = gid {
            user["gid"] = json!(gid);
        }
    }
    extend(
        &mut user["additionalGids"],
        args.additional_gids.iter().map(|gid| json!(gid)),
    );
    let env = process.entry("env").or_insert_with(|| json!([]));
    for var in &args.env {
        let Some((name, _)) = var.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::new(format!("--env {var:?}: want NAME=VALUE")));
        };
        if let Some(list) = env.as_array_mut() {
            list.retain(|old| {
                old.as_str()
                    .and_then(|o| o.split_once('='))
                    .is_none_or(|(o, _)| o != name)
            });
        }
        extend(env, [json!(var)]);
    }
    for cap in &args.cap {
        let cap = capability(cap);
        let sets = process.entry("capabilities").or_insert_with(|| json!({}));
        for set in ["bounding", "effective", "permitted"] {
            extend(&mut sets[set], [json!(cap)]);
        }
    }
    Ok(())
}

fn extend(list: &mut Value, more: impl IntoIterator<Item = Value>) {
    for value in more {
        match list.as_array_mut() {
            Some(list) => list.push(value),
            None => *list = json!([value]),
        }
    }
}

/// `CAP_CHOWN`, or `chown`.
fn capability(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    }
}

fn ids(text: &str) -> Result<(u32, Option<u32>)> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |text: &str| text.parse::<u32>();
    number(uid)
        .and_then(|uid| Ok((uid, gid.map(number).transpose()?)))
        .map_err(|_| Error::new(format!("--user {text:?}: want UID or UID:GID, in numbers")))
}

/// The checks of a config.json, for its process alone.
fn parse(process: Value) -> Result<(oci_spec::runtime::Spec, config::Notes)> {
    let spec = json!({ "ociVersion": "1.0.2", "process": process });
    config::parse(&serde_json::to_vec(&spec).context(|| "process")?)
}
