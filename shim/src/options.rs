//! Options of a container: what containerd passes, and `runsc.toml`.

use std::path::{Path, PathBuf};

use containerd_shim::api::Options as RuncOptions;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::{CodedInputStream, Message};
use containerd_shim::{Error, Result};
use toml_edit::{DocumentMut, Item};

const DEFAULT_CONFIG: &str = "/etc/containerd/runsc.toml";
const DEFAULT_ROOT: &str = "/run/containerd/runsc";

/// How `runsc` is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub binary: PathBuf,
    pub root: PathBuf,
    /// Global flags.
    pub flags: Vec<String>,
}

/// Reads what containerd sent with a container, or nothing.
pub fn read(sent: Option<&Any>) -> Result<Options> {
    let mut options = Options {
        binary: beside(),
        root: DEFAULT_ROOT.into(),
        flags: Vec::new(),
    };
    let sent = sent.filter(|any| !any.value.is_empty());
    match sent.map(|any| (any.type_url.rsplit('/').next().unwrap_or_default(), any)) {
        Some(("containerd.runc.v1.Options", any)) => {
            file(&mut options, None)?;
            let runc = RuncOptions::parse_from_bytes(&any.value)?;
            if !runc.binary_name.is_empty() {
                options.binary = runc.binary_name.into();
            }
            if !runc.root.is_empty() {
                options.root = runc.root.into();
            }
            if runc.systemd_cgroup {
                options.flags.push("--systemd-cgroup".to_owned());
            }
        }
        Some((_, any)) => match generic(any)? {
            (_, Some(text)) => apply(&mut options, &text, "options")?,
            (path, None) => file(&mut options, path.as_deref())?,
        },
        None => file(&mut options, None)?,
    }
    Ok(options)
}

/// `runsc` beside this program, else that of `PATH`.
fn beside() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let beside = here.with_file_name("runsc");
    if beside.is_file() { beside } else { "runsc".into() }
}

/// `runtimeoptions.v1.Options`: type_url, config_path, config_body.
fn generic(any: &Any) -> Result<(Option<PathBuf>, Option<String>)> {
    let (mut path, mut body) = (None, None);
    let mut input = CodedInputStream::from_bytes(&any.value);
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        match (tag >> 3, tag & 7) {
            (1, 2) => drop(input.read_string()?),
            (2, 2) => path = Some(input.read_string()?).filter(|p| !p.is_empty()).map(PathBuf::from),
            (3, 2) => {
                let text = String::from_utf8(input.read_bytes()?);
                let text = text.map_err(|_| Error::InvalidArgument("options: not UTF-8".to_owned()))?;
                body = Some(text).filter(|t| !t.is_empty());
            }
            _ => return Err(Error::InvalidArgument(format!("options of type {}", any.type_url))),
        }
    }
    Ok((path, body))
}

/// A named file must be there, the default one may.
fn file(options: &mut Options, path: Option<&Path>) -> Result<()> {
    let name = path.unwrap_or(Path::new(DEFAULT_CONFIG));
    match std::fs::read_to_string(name) {
        Ok(text) => apply(options, &text, &name.display().to_string()),
        Err(e) if path.is_none() && e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::InvalidArgument(format!("{}: {e}", name.display()))),
    }
}

fn apply(options: &mut Options, text: &str, name: &str) -> Result<()> {
    let bad = |what: String| Error::InvalidArgument(format!("{name}: {what}"));
    let config: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
        let first = e.message().lines().next().unwrap_or_default().to_owned();
        bad(first)
    })?;
    let string = |key: &str, item: &Item| {
        let text = item.as_str().map(str::to_owned);
        text.ok_or_else(|| bad(format!("{key}: not a string")))
    };
    for (key, item) in config.iter() {
        match key {
            "binary_name" => options.binary = string(key, item)?.into(),
            "root" => options.root = string(key, item)?.into(),
            "systemd_cgroup" => {
                if item.as_bool().ok_or_else(|| bad(format!("{key}: not true or false")))? {
                    options.flags.push("--systemd-cgroup".to_owned());
                }
            }
            "runsc_config" => {
                let table = item.as_table_like().ok_or_else(|| bad(format!("{key}: not a table")))?;
                for (flag, value) in table.iter() {
                    options.flags.extend(global(flag, value).map_err(bad)?);
                }
            }
            other => containerd_shim::warn!("{name}: {other}: ignored"),
        }
    }
    Ok(())
}

/// A flag without value, if the value is true.
fn global(flag: &str, value: &Item) -> std::result::Result<Option<String>, String> {
    let text = match (value.as_str(), value.as_bool(), value.as_integer()) {
        (Some(text), ..) => text.to_owned(),
        (_, Some(value), _) => value.to_string(),
        (_, _, Some(number)) => number.to_string(),
        _ => return Err(format!("runsc_config.{flag}: not a string")),
    };
    Ok(match text.as_str() {
        "true" => Some(format!("--{flag}")),
        "false" => None,
        value => Some(format!("--{flag}={value}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Options {
        Options {
            binary: "runsc".into(),
            root: "/r".into(),
            flags: Vec::new(),
        }
    }

    #[test]
    fn a_file() {
        let mut options = empty();
        let text = "binary_name = '/x/runsc'\nroot = '/y'\nlog_path = 'z'\n[runsc_config]\nnetwork = 'host'\ndebug = 'true'\nstrace = false\n";
        apply(&mut options, text, "f").unwrap();
        assert_eq!(options.binary, Path::new("/x/runsc"));
        assert_eq!(options.root, Path::new("/y"));
        assert_eq!(options.flags, ["--network=host", "--debug"]);
        for wrong in [
            "root = 1",
            "=",
            "runsc_config = 1",
            "[runsc_config]\na = [1]",
            "systemd_cgroup = 'x'",
        ] {
            let e = apply(&mut empty(), wrong, "f").unwrap_err().to_string();
            assert!(e.contains("f: "), "{e}");
        }
    }

    #[test]
    fn what_containerd_sends() {
        let any = |url: &str, value: Vec<u8>| Any {
            type_url: url.to_owned(),
            value,
            ..Any::default()
        };
        let body = b"\x0a\x01t\x1a\x0broot = '/z'".to_vec();
        let options = read(Some(&any("runtimeoptions.v1.Options", body))).unwrap();
        assert_eq!(options.root, Path::new("/z"));
        let path = b"\x12\x05/none".to_vec();
        assert!(read(Some(&any("runtimeoptions.v1.Options", path))).is_err());
        let runc = RuncOptions {
            binary_name: "/b".to_owned(),
            systemd_cgroup: true,
            ..RuncOptions::default()
        };
        let sent = any("containerd.runc.v1.Options", runc.write_to_bytes().unwrap());
        let options = read(Some(&sent)).unwrap();
        assert_eq!(options.binary, Path::new("/b"));
        assert!(options.flags.contains(&"--systemd-cgroup".to_owned()));
        assert!(read(Some(&any("x", vec![0xff; 3]))).is_err());
    }
}
