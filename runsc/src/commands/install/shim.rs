//! Which shim of containerd shall call `runsc`, and the settings of ours, `NAME.toml` beside containerd's file.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use toml_edit::{DocumentMut, Item, Table, value};

use super::file::ConfigFile;
use crate::error::{Context, Error, Result};

pub const NAME: &str = "containerd-shim-runsc-v1";

/// What is wished.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// containerd-shim-runsc-v1 where it is installed, else that of runc
    Auto,
    /// containerd-shim-runsc-v1
    Runsc,
    /// containerd-shim-runc-v2, which comes with containerd
    Runc,
}

/// What it is.
pub enum Shim {
    Runc,
    /// Ours, with a file of settings if it needs one.
    Own {
        settings: Option<PathBuf>,
    },
}

/// Where a service looks for programs that has not been told otherwise.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Chooses. `program` is this one, `config` containerd's file.
pub fn choose(choice: Choice, program: &Path, flags: &[String], config: &Path, runtime: &str) -> Result<Shim> {
    if choice == Choice::Runc {
        return Ok(Shim::Runc);
    }
    let Some(found) = find() else {
        if choice == Choice::Auto {
            return Ok(Shim::Runc);
        }
        let beside = program.with_file_name(NAME);
        return Err(Error::new(match beside.exists() {
            true => format!("containerd does not look for programs where {} is", beside.display()),
            false => format!("{NAME} is not in PATH"),
        }));
    };
    let calls = found.canonicalize().unwrap_or(found).with_file_name("runsc");
    let calls_this = calls.canonicalize().is_ok_and(|path| path == program);
    let settings = config.with_file_name(format!("{runtime}.toml"));
    // One that is there is the user's wish too.
    let needed = !calls_this || !flags.is_empty() || settings.exists();
    Ok(Shim::Own {
        settings: needed.then_some(settings),
    })
}

fn find() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut dirs = path
        .split(':')
        .chain(USUAL.split(':'))
        .filter(|dir| dir.starts_with('/'));
    dirs.find_map(|dir| Some(Path::new(dir).join(NAME)).filter(|path| path.is_file()))
}

/// Enters program and flags in the settings; what else stands there stays. False if all of it stood there.
pub fn write_settings(path: &Path, program: &str, flags: &[String]) -> Result<bool> {
    let (file, text) = ConfigFile::read(path)?;
    let wrong = |what: String| Error::new(format!("{}: {what}", file.shown()));
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
        wrong(format!("not TOML: {}", e.message().lines().next().unwrap_or_default()))
    })?;
    document.insert("binary_name", value(program));
    if !flags.is_empty() {
        let table = document.entry("runsc_config").or_insert(Item::Table(Table::new()));
        let table = table
            .as_table_like_mut()
            .ok_or_else(|| wrong("\"runsc_config\" is not a table".to_owned()))?;
        for (key, text) in settings(flags)? {
            table.insert(&key, value(text));
        }
    }
    let new = document.to_string();
    if new == text {
        return Ok(false);
    }
    file.write(&new).context(|| file.shown())?;
    Ok(true)
}

/// Flags as names and values.
fn settings(flags: &[String]) -> Result<Vec<(String, String)>> {
    let mut list: Vec<(String, String)> = Vec::new();
    for flag in flags {
        match (flag.strip_prefix("--"), list.last_mut()) {
            (Some(flag), _) => {
                let (name, text) = flag.split_once('=').unwrap_or((flag, "true"));
                list.push((name.to_owned(), text.to_owned()));
            }
            // The value of the one before it.
            (None, Some((_, text))) if text == "true" => text.clone_from(flag),
            (None, _) => {
                return Err(Error::new(format!(
                    "flags for the runtime: {flag:?}: want --FLAG=VALUE"
                )));
            }
        }
    }
    Ok(list)
}
