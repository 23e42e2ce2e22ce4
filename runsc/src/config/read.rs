//! From a bundle directory to a parsed configuration.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde_json::Value;

use super::{Notes, bad, capabilities, scheduling};
use crate::error::{Context, Error, Result};

/// No honest config.json comes near it.
const MAX_BYTES: u64 = 16 << 20;

/// A bundle that was read.
pub struct Bundle {
    pub dir: PathBuf,
    pub spec: Spec,
    /// Things that were ignored.
    pub notes: Notes,
}

/// Reads the configuration of a bundle: `config.json`, or a file of another name, which may be anywhere.
pub fn read_bundle(dir: &Path, config: Option<&Path>) -> Result<Bundle> {
    let dir = dir.canonicalize().context(|| format!("bundle {}", dir.display()))?;
    let (spec, notes) = parse(&read_file(&dir.join(config.unwrap_or("config.json".as_ref())))?)?;
    Ok(Bundle { dir, spec, notes })
}

/// Reads a file with a configuration in it, whose size is not believed.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).context(|| path.display().to_string())?;
    let kind = file.metadata().context(|| path.display().to_string())?.file_type();
    // A shell's `<(command)` is a pipe.
    if !kind.is_file() && !kind.is_fifo() {
        return Err(Error::new(format!("{}: not a regular file", path.display())));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .context(|| path.display().to_string())?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Error::new(format!(
            "{}: larger than {} MiB",
            path.display(),
            MAX_BYTES >> 20
        )));
    }
    Ok(text)
}

/// Parses the text of a config.json; gives notes on what was ignored.
pub fn parse(text: &[u8]) -> Result<(Spec, Notes)> {
    let mut value: Value = serde_json::from_slice(text).context(|| "config.json")?;
    if !value.is_object() {
        return Err(Error::new("config.json: not a JSON object"));
    }
    let mut notes = Notes::default();
    strip_nulls(&mut value);
    if let Some(process) = value.get_mut("process") {
        capabilities::drop_unknown(process, &mut notes);
        scheduling::spell_flags(process);
        if let Some(process) = process.as_object_mut() {
            // Without one it is root, as runc reads it.
            process.entry("user").or_insert_with(|| serde_json::json!({}));
        }
    }
    check_version(value.get("ociVersion"))?;
    let mut note = |path: serde_ignored::Path<'_>| {
        // An optional field is a step of the path that people do not see.
        let path = path.to_string().replace(".?", "");
        notes.remark(format!("config.json: {path}: unknown field ignored"));
    };
    let spec: Spec =
        serde_path_to_error::deserialize(serde_ignored::Deserializer::new(value, &mut note)).map_err(|e| {
            let path = e.path().to_string();
            bad(if path == "." { "top level".to_owned() } else { path }, e.inner())
        })?;
    Ok((spec, notes))
}

fn check_version(version: Option<&Value>) -> Result<()> {
    let Some(version) = version else {
        return Err(bad("ociVersion", "missing"));
    };
    let Some(text) = version.as_str() else {
        return Err(bad("ociVersion", format_args!("{version} is not a string")));
    };
    match text.split('.').next() {
        Some("1") if text.len() < 64 => Ok(()),
        _ => Err(bad("ociVersion", format_args!("{text:?} is not supported, want 1.x"))),
    }
}

/// Go writes `null` for what is absent.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}
