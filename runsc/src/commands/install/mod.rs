//! `runsc install` and `uninstall`: the runtime's entry in an engine's configuration file, with everything else left as it is.

mod containerd;
mod docker;
mod file;
mod shim;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum};

use crate::cli::Cli;
use crate::error::{Context, Error, Result};
use file::ConfigFile;
use shim::Shim;

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Docker,
    Containerd,
}

#[derive(Args)]
pub struct Target {
    /// Whose configuration to change
    #[arg(long, value_enum, default_value = "docker", value_name = "ENGINE")]
    engine: Engine,

    /// The file [default: /etc/docker/daemon.json or /etc/containerd/config.toml]
    #[arg(long, alias = "config_file", value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// Name of the runtime there
    #[arg(long, default_value = "runsc", value_name = "NAME")]
    runtime: String,
}

#[derive(Args)]
pub struct InstallArgs {
    #[command(flatten)]
    target: Target,

    /// Replace an entry of that name that says something else [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", action = clap::ArgAction::Set, hide_default_value = true)]
    clobber: bool,

    /// Which shim of containerd's shall call runsc
    #[arg(long, value_enum, default_value = "auto", value_name = "SHIM")]
    shim: shim::Choice,

    /// Flags that the engine shall give runsc, after `--`; those given to this command before `install` come first
    #[arg(last = true, value_name = "FLAG")]
    flags: Vec<String>,
}

#[derive(Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    target: Target,
}

/// What an entry says.
pub(super) struct Entry {
    pub program: String,
    pub flags: Vec<String>,
    pub shim: Shim,
}

/// One engine's kind of file.
pub(super) trait Config {
    /// Enters the runtime; false if it stood there just so. `clobber` lets it replace another entry.
    fn enter(&mut self, runtime: &str, entry: &Entry, clobber: bool) -> Result<bool>;

    /// Takes the runtime out; false if it was not there.
    fn remove(&mut self, runtime: &str) -> Result<bool>;

    fn text(&self) -> Result<String>;
}

pub fn install(args: &InstallArgs) -> Result<i32> {
    let target = &args.target;
    check_name(&target.runtime)?;
    let (program, flags) = (own_path()?, flags(&args.flags)?);
    let (file, mut config) = open(target)?;
    let shim = match target.engine {
        Engine::Containerd => shim::choose(args.shim, Path::new(&program), &flags, file.path(), &target.runtime)?,
        Engine::Docker if args.shim == shim::Choice::Runsc => {
            return Err(Error::new("--shim: Docker starts runsc with a shim of its own"));
        }
        Engine::Docker => Shim::Runc,
    };
    let entry = Entry { program, flags, shim };
    let changed = config
        .enter(&target.runtime, &entry, args.clobber)
        .context(|| file.shown())?;
    if let Shim::Own { settings: Some(path) } = &entry.shim
        && shim::write_settings(path, &entry.program, &entry.flags)?
    {
        println!("settings of the shim written to {}", path.display());
    }
    if !changed {
        println!("runtime {:?} is already in {}", target.runtime, file.shown());
        return Ok(0);
    }
    file.write(&config.text()?)?;
    println!("runtime {:?} entered in {}", target.runtime, file.shown());
    println!("{}", restart(target.engine));
    Ok(0)
}

pub fn uninstall(args: &UninstallArgs) -> Result<i32> {
    let target = &args.target;
    check_name(&target.runtime)?;
    let (file, mut config) = open(target)?;
    if !config.remove(&target.runtime).context(|| file.shown())? {
        println!("runtime {:?} is not in {}", target.runtime, file.shown());
        return Ok(0);
    }
    file.write(&config.text()?)?;
    println!("runtime {:?} removed from {}", target.runtime, file.shown());
    println!("{}", restart(target.engine));
    Ok(0)
}

fn open(target: &Target) -> Result<(ConfigFile, Box<dyn Config>)> {
    let default = match target.engine {
        Engine::Docker => "/etc/docker/daemon.json",
        Engine::Containerd => "/etc/containerd/config.toml",
    };
    let path = target.config_file.as_deref().unwrap_or(Path::new(default));
    let (file, text) = ConfigFile::read(path)?;
    let config: Box<dyn Config> = match target.engine {
        Engine::Docker => Box::new(docker::Daemon::parse(&text).context(|| file.shown())?),
        Engine::Containerd => Box::new(containerd::Toml::parse(&text).context(|| file.shown())?),
    };
    Ok((file, config))
}

fn restart(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => "tell Docker: systemctl reload docker, or send SIGHUP to dockerd",
        Engine::Containerd => "tell containerd: systemctl restart containerd",
    }
}

/// A name that both engines and their command lines take.
fn check_name(name: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 128 || !name.chars().all(fine) {
        return Err(Error::new(format!(
            "--runtime {name:?}: want letters, digits, '_', '-' and '.'"
        )));
    }
    if name == "runc" {
        return Err(Error::new("--runtime \"runc\": the engines keep that name for runc"));
    }
    Ok(())
}

/// The program as engines are to start it.
fn own_path() -> Result<String> {
    let path = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .context(|| "path of this program")?;
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::new(format!("{path:?} is not UTF-8")))
}

/// Flags given before the verb, and those after `--`. A wrong one is refused now rather than by each container.
fn flags(extra: &[String]) -> Result<Vec<String>> {
    let before = std::env::args().skip(1).take_while(|arg| arg != "install");
    let flags: Vec<String> = before.chain(extra.iter().cloned()).collect();
    let line = ["runsc".to_owned()]
        .into_iter()
        .chain(flags.clone())
        .chain(["list".to_owned()]);
    if let Err(e) = Cli::try_parse_from(line) {
        let text = e.to_string();
        let first = text.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        return Err(Error::new(format!("flags for the runtime: {first}")));
    }
    Ok(flags)
}
