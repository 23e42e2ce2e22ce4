//! `runsc do`: one command in a sandbox whose root is this machine's, read-only, under an overlay in memory.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Env;
use crate::cli::Overlay;
use crate::config::{self, Bundle, Plan};
use crate::error::{Context, Error, Result};
use crate::sandbox::{self, Start, Terminal};

#[derive(Args)]
#[command(trailing_var_arg = true)]
pub struct DoArgs {
    /// Root file system of the command [default: /]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Further part of the host, written through: HOST:GUEST, or HOST:GUEST:ro
    #[arg(short, long, value_name = "HOST:GUEST[:ro]")]
    volume: Vec<String>,

    /// User (and group) to run as: UID or UID:GID [default: the caller]
    #[arg(short, long, value_name = "UID[:GID]")]
    uid: Option<String>,

    /// Set a variable of the environment, which is otherwise the caller's
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Working directory [default: the current one]
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,

    /// Command and its arguments
    #[arg(required = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

pub fn run(env: &Env<'_>, args: DoArgs) -> Result<i32> {
    let own_terminal = sandbox::have_own_terminal();
    let id = format!(
        "do-{}-{:x}",
        std::process::id(),
        rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_nsec
    );
    let plan = plan(env, &id, &args, own_terminal)?;
    let start = Start {
        bundle: plan.rootfs.clone(),
        config: None,
        pid_file: None,
        preserve_fds: 0,
        terminal: if own_terminal { Terminal::Own } else { Terminal::None },
        foreground: true,
        keep: false,
    };
    env.store
        .create(&id)
        .and_then(|container| sandbox::run(env, container, &start, plan))
        .map_err(|e| Error::with_code(e.to_string(), e.code().unwrap_or(128)))
}

fn plan(env: &Env<'_>, id: &str, args: &DoArgs, terminal: bool) -> Result<Plan> {
    let root = args.root.clone().unwrap_or_else(|| "/".into());
    let (uid, gid) = ids(args.uid.as_deref())?;
    // Only one's own groups, and only as oneself.
    let groups: Vec<u32> = if args.uid.is_none() && !env.globals.is_rootless() {
        rustix::process::getgroups()
            .context(|| "groups")?
            .iter()
            .map(|g| g.as_raw())
            .collect()
    } else {
        Vec::new()
    };
    let cwd = match &args.cwd {
        Some(cwd) => cwd.clone(),
        None if args.root.is_some() => "/".to_owned(),
        None => utf8(&std::env::current_dir().context(|| "current directory")?)?,
    };
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"] }),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] }),
    ];
    for volume in &args.volume {
        mounts.push(volume_mount(volume)?);
    }
    // As root the command may do what root may; it is all inside.
    let caps = if uid == 0 {
        config::all_capabilities()
    } else {
        Vec::new()
    };
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal,
            "user": { "uid": uid, "gid": gid, "additionalGids": groups },
            "args": args.command,
            "env": environment(&args.env)?,
            "cwd": cwd,
            "capabilities": { "bounding": config::all_capabilities(), "effective": caps, "permitted": caps },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1_048_576 }]
        },
        "root": { "path": root, "readonly": false },
        "hostname": utf8(Path::new(rustix::system::uname().nodename().to_str().unwrap_or("runsc")))?,
        "mounts": mounts,
        "linux": { "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }] }
    });
    let text = serde_json::to_vec(&spec).context(|| "do")?;
    let (spec, notes) = config::parse(&text)?;
    let mut globals = env.globals.clone();
    if globals.overlay2 == Overlay::None {
        globals.overlay2 = Overlay::Memory;
    }
    let mut plan = config::plan(
        id,
        Bundle {
            dir: "/".into(),
            spec,
            notes,
        },
        &globals,
    )
    .map_err(|e| {
        // What came from a flag is named by it.
        let text = e.to_string().replace("config.json: process.cwd", "--cwd");
        Error::new(
            text.replace("config.json: root.path", "--root")
                .replace("config.json: ", "do: "),
        )
    })?;
    plan.container.mortal_init = true;
    if env.globals.is_rootless() {
        // The caller keeps his id inside; as root he is the caller outside all the same.
        let (own_uid, own_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        plan.gofer_uid_map = vec![(uid, own_uid, 1)];
        plan.gofer_gid_map = vec![(gid, own_gid, 1)];
    }
    // Windows into the host's kernel: the sandbox shows its own there.
    plan.hide = ["proc", "sys", "dev"]
        .iter()
        .map(|dir| plan.rootfs.join(dir))
        .filter(|dir| dir.is_dir())
        .collect();
    Ok(plan)
}

fn utf8(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::new(format!("{path:?} is not UTF-8")))
}

fn ids(text: Option<&str>) -> Result<(u32, u32)> {
    let Some(text) = text else {
        return Ok((rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()));
    };
    let parsed = match text.split_once(':') {
        Some((uid, gid)) => uid.parse().and_then(|uid| Ok((uid, gid.parse()?))),
        None => text.parse().map(|uid| (uid, uid)),
    };
    parsed.map_err(|_| Error::new(format!("--uid {text:?}: want UID or UID:GID, in numbers")))
}

fn environment(extra: &[String]) -> Result<Vec<String>> {
    let mut list: Vec<String> = std::env::vars_os()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_str()?, value.to_str()?)))
        .collect();
    for var in extra {
        let Some((name, _)) = var.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::new(format!("--env {var:?}: want NAME=VALUE")));
        };
        list.retain(|old| old.split_once('=').is_none_or(|(old, _)| old != name));
        list.push(var.clone());
    }
    Ok(list)
}

fn volume_mount(text: &str) -> Result<serde_json::Value> {
    let mut parts = text.split(':');
    let (Some(host), Some(guest), mode, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Error::new(format!(
            "--volume {text:?}: want HOST:GUEST or HOST:GUEST:ro"
        )));
    };
    let mode = match mode {
        None | Some("rw") => "rw",
        Some("ro") => "ro",
        Some(_) => return Err(Error::new(format!("--volume {text:?}: the third part is ro or rw"))),
    };
    let host = std::path::absolute(host).context(|| format!("--volume {text:?}"))?;
    Ok(json!({ "destination": guest, "type": "bind", "source": host, "options": ["rbind", mode] }))
}
