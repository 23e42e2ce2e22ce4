//! `runsc spec`.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;

use super::Env;
use crate::config::default_spec;
use crate::error::{Context, Error, Result};

#[derive(Args)]
pub struct SpecArgs {
    /// Directory to write config.json to [default: the current one]
    #[arg(short, long, value_name = "DIR")]
    bundle: Option<PathBuf>,

    /// For an ordinary user
    #[arg(long)]
    rootless: bool,
}

pub fn run(_env: &Env<'_>, args: &SpecArgs) -> Result<i32> {
    let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let spec = default_spec(args.rootless.then_some(ids), crate::cgroup::is_unified());
    let path = args.bundle.clone().unwrap_or_default().join("config.json");
    let text = serde_json::to_string_pretty(&spec).context(|| "config.json")?;
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::new(format!("file {} exists. Remove it first", path.display())));
        }
        other => other.context(|| path.display().to_string())?,
    };
    std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes()).context(|| path.display().to_string())?;
    Ok(0)
}
