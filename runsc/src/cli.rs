//! The command line, in the dialect that engines speak to runc.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    checkpoint, create, delete, do_cmd, events, exec, install, kill, list, ps, spec, syscalls, update, wait,
};

/// What `--version` prints. Engines read the first line and `spec:`.
pub const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0");

#[derive(Parser)]
#[command(
    name = "runsc",
    version = VERSION,
    disable_version_flag = true,
    args_override_self = true,
    about = "Runs untrusted programs on a Linux kernel of their own, in user space",
    max_term_width = 110
)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,

    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags before the verb.
#[derive(Args, Clone, Debug)]
pub struct Globals {
    /// Directory for the state of containers [default: /run/runsc, or $XDG_RUNTIME_DIR/runsc for ordinary users]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// File for errors, in the format that engines read
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Format of --log
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Log at debug level
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub debug: bool,

    /// File for what the sandbox logs [default: standard error, with --debug or --strace]
    #[arg(long, value_name = "FILE")]
    pub debug_log: Option<PathBuf>,

    /// How guest code is caught: systrap or ptrace
    #[arg(long, default_value = "systrap", value_name = "NAME", value_parser = platform)]
    pub platform: String,

    /// Log each system call of the guest
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub strace: bool,

    /// Where writes to the root file system go: none (to the rootfs), root:memory, root:dir=DIR
    #[arg(long, default_value = "none", value_name = "WHERE", value_parser = overlay)]
    pub overlay2: Overlay,

    /// What the sandbox may reach: none, or host (sockets of the network namespace it is put in)
    #[arg(long, value_enum, default_value = "none", value_name = "WHAT")]
    pub network: Network,

    /// Work without privileges, in user namespaces: true, false, auto
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "auto", value_name = "BOOL", value_parser = ["true", "false", "auto"])]
    pub rootless: String,

    /// exclusive: only the container changes its root file system; shared: others may
    #[arg(long, value_enum, default_value = "exclusive", value_name = "HOW")]
    pub file_access: FileAccess,

    /// Apply linux.seccomp of config.json to the guest's system calls
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    pub oci_seccomp: bool,

    /// cgroupsPath is slice:prefix:name
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub systemd_cgroup: bool,

    /// Who makes control groups, as crun names it: disabled makes none
    #[arg(long, value_enum, value_name = "WHO")]
    pub cgroup_manager: Option<CgroupManager>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupManager {
    Cgroupfs,
    Systemd,
    Disabled,
}

impl Globals {
    /// Whether `cgroupsPath` is `slice:prefix:name`.
    pub fn systemd(&self) -> bool {
        self.systemd_cgroup || self.cgroup_manager == Some(CgroupManager::Systemd)
    }

    /// Whether to work in user namespaces made without privileges.
    pub fn is_rootless(&self) -> bool {
        match self.rootless.as_str() {
            "true" => true,
            "false" => false,
            _ => !rustix::process::geteuid().is_root(),
        }
    }
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    None,
    Host,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAccess {
    Exclusive,
    Shared,
}

/// `--overlay2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    None,
    Memory,
    Dir(PathBuf),
}

fn platform(value: &str) -> Result<String, String> {
    match value {
        "systrap" | "ptrace" => Ok(value.to_owned()),
        _ => Err("known platforms are systrap and ptrace".to_owned()),
    }
}

fn overlay(value: &str) -> Result<Overlay, String> {
    match value {
        "none" => Ok(Overlay::None),
        "root:memory" => Ok(Overlay::Memory),
        _ => match value.strip_prefix("root:dir=") {
            Some(dir) if dir.starts_with('/') => Ok(Overlay::Dir(dir.into())),
            _ => Err("want none, root:memory or root:dir=/ABSOLUTE/DIR".to_owned()),
        },
    }
}

#[derive(Subcommand)]
pub enum Verb {
    /// Run a command over this machine's file system, which it sees read-only under an overlay in memory
    Do(do_cmd::DoArgs),
    /// Create and start a container, wait for it, and remove it
    Run(create::RunArgs),
    /// Create a container
    Create(create::CreateArgs),
    /// Start the process of a created container
    Start(IdArg),
    /// Print the state of a container as JSON
    State(IdArg),
    /// Send a signal to a container
    Kill(kill::KillArgs),
    /// Remove a container
    Delete(delete::DeleteArgs),
    /// Run a further process in a container
    Exec(exec::ExecArgs),
    /// List containers
    #[command(alias = "ls")]
    List(list::ListArgs),
    /// Print the host processes that carry a container's
    Ps(ps::PsArgs),
    /// Stop all processes of a container
    Pause(IdArg),
    /// Let a paused container go on
    Resume(IdArg),
    /// Change a container's limits
    Update(update::UpdateArgs),
    /// Print what a container uses, and when it runs out of memory
    Events(events::EventsArgs),
    /// Wait for the end of a container and print how it ended
    Wait(wait::WaitArgs),
    /// Print what config.json may ask for, as JSON
    Features,
    /// Not supported yet
    Checkpoint(checkpoint::CheckpointArgs),
    /// Not supported yet
    Restore(checkpoint::CheckpointArgs),
    /// Write a config.json to start from
    Spec(spec::SpecArgs),
    /// Enter runsc in the configuration of Docker or containerd
    Install(install::InstallArgs),
    /// Take it out again
    Uninstall(install::UninstallArgs),
    /// Print what the sandbox's kernel does for each system call
    Syscalls(syscalls::SyscallsArgs),
}

/// A verb that takes a container and nothing else.
#[derive(Args)]
pub struct IdArg {
    /// Container
    pub id: String,
}
