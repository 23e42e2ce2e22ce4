//! Docker's `daemon.json`.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use super::{Config, Entry};
use crate::error::{Context, Error, Result};

pub(super) struct Daemon(Map<String, Value>);

impl Daemon {
    pub(super) fn parse(text: &str) -> Result<Self> {
        // dockerd takes an empty file too.
        if text.trim().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_str(text).context(|| "not JSON")? {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(Error::new("not a JSON object")),
        }
    }
}

impl Config for Daemon {
    fn enter(&mut self, runtime: &str, entry: &Entry, clobber: bool) -> Result<bool> {
        let runtimes = self.0.entry("runtimes").or_insert_with(|| json!({}));
        let runtimes = runtimes
            .as_object_mut()
            .ok_or_else(|| Error::new("\"runtimes\" is not an object"))?;
        let mut new = json!({ "path": entry.program });
        if !entry.flags.is_empty() {
            new["runtimeArgs"] = json!(entry.flags);
        }
        match runtimes.get(runtime) {
            Some(old) if *old == new => return Ok(false),
            Some(_) if !clobber => {
                return Err(Error::new(format!(
                    "\"runtimes\" has another entry {runtime:?} already"
                )));
            }
            _ => {}
        }
        runtimes.insert(runtime.to_owned(), new);
        Ok(true)
    }

    fn remove(&mut self, runtime: &str) -> Result<bool> {
        if self.0.get("default-runtime").and_then(Value::as_str) == Some(runtime) {
            return Err(Error::new(format!(
                "\"default-runtime\" is {runtime:?}: change that first, or dockerd will not start"
            )));
        }
        let Some(runtimes) = self.0.get_mut("runtimes") else {
            return Ok(false);
        };
        let runtimes = runtimes
            .as_object_mut()
            .ok_or_else(|| Error::new("\"runtimes\" is not an object"))?;
        let found = runtimes.shift_remove(runtime).is_some();
        if found && runtimes.is_empty() {
            self.0.shift_remove("runtimes");
        }
        Ok(found)
    }

    fn text(&self) -> Result<String> {
        let mut out = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b"    "));
        self.0.serialize(&mut serializer).context(|| "daemon.json")?;
        out.push(b'\n');
        String::from_utf8(out).map_err(|_| Error::new("daemon.json: not UTF-8"))
    }
}
