//! containerd's `config.toml`, with its comments and its order.

use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use super::shim::Shim;
use super::{Config, Entry};
use crate::error::{Error, Result};

pub(super) struct Toml {
    document: DocumentMut,
    /// Where runtimes stand in this version of the file.
    path: &'static [&'static str],
}

const VERSION_1: &[&str] = &["plugins", "cri", "containerd"];
const VERSION_2: &[&str] = &["plugins", "io.containerd.grpc.v1.cri", "containerd"];
const VERSION_3: &[&str] = &["plugins", "io.containerd.cri.v1.runtime", "containerd"];

impl Toml {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
            let line = e
                .span()
                .map_or(0, |span| text.get(..span.start).unwrap_or(text).lines().count().max(1));
            Error::new(format!("not TOML: line {line}: {}", e.message()))
        })?;
        if document.is_empty() {
            // All versions of containerd that are alive read it.
            document.insert("version", value(2));
        }
        let version = match document.get("version") {
            None => 1,
            Some(item) => item
                .as_integer()
                .ok_or_else(|| Error::new("\"version\" is not a number"))?,
        };
        let path = match version {
            1 => VERSION_1,
            2 => VERSION_2,
            3 => VERSION_3,
            _ => return Err(Error::new(format!("version {version} of the file is unknown"))),
        };
        Ok(Self { document, path })
    }

    /// The table with a list of names beneath the root; made if missing and wanted.
    fn table(&mut self, more: &[&str], make: bool) -> Result<Option<&mut dyn TableLike>> {
        let mut at: &mut dyn TableLike = self.document.as_table_mut();
        let mut so_far = String::new();
        for name in self.path.iter().chain(more) {
            so_far.push_str(if so_far.is_empty() { "" } else { "." });
            so_far.push_str(name);
            if !at.contains_key(name) {
                if !make {
                    return Ok(None);
                }
                let mut table = Table::new();
                // Only the last one shall have a headline of its own.
                table.set_implicit(true);
                at.insert(name, Item::Table(table));
            }
            at = at
                .get_mut(name)
                .and_then(Item::as_table_like_mut)
                .ok_or_else(|| Error::new(format!("\"{so_far}\" is not a table")))?;
        }
        Ok(Some(at))
    }
}

impl Config for Toml {
    fn enter(&mut self, runtime: &str, entry: &Entry, clobber: bool) -> Result<bool> {
        let (kind, options) = match &entry.shim {
            Shim::Runc if !entry.flags.is_empty() => {
                return Err(Error::new(format!(
                    "containerd gives a runtime no flags, so {:?} cannot be passed on without {}; name a script that does",
                    entry.flags.join(" "),
                    super::shim::NAME
                )));
            }
            Shim::Runc => ("io.containerd.runc.v2", vec![("BinaryName", entry.program.clone())]),
            Shim::Own { settings: None } => ("io.containerd.runsc.v1", Vec::new()),
            Shim::Own { settings: Some(path) } => (
                "io.containerd.runsc.v1",
                vec![
                    ("TypeUrl", "io.containerd.runsc.v1.options".to_owned()),
                    ("ConfigPath", path.display().to_string()),
                ],
            ),
        };
        let runtimes = self
            .table(&["runtimes"], true)?
            .ok_or_else(|| Error::new("no place for runtimes"))?;
        if let Some(old) = runtimes.get(runtime) {
            if says(old, kind, &options) {
                return Ok(false);
            }
            if !clobber {
                return Err(Error::new(format!("there is another runtime {runtime:?} already")));
            }
        }
        if runtimes.get(runtime).is_none_or(|old| !old.is_table_like()) {
            runtimes.insert(runtime, Item::Table(Table::new()));
        }
        let new = runtimes.get_mut(runtime).and_then(Item::as_table_like_mut);
        let new = new.ok_or_else(|| Error::new(format!("runtime {runtime:?} is not a table")))?;
        new.insert("runtime_type", value(kind));
        new.remove("options");
        if !options.is_empty() {
            let mut table = Table::new();
            for (key, text) in options {
                table.insert(key, value(text));
            }
            new.insert("options", Item::Table(table));
        }
        Ok(true)
    }

    fn remove(&mut self, runtime: &str) -> Result<bool> {
        if let Some(containerd) = self.table(&[], false)?
            && containerd.get("default_runtime_name").and_then(Item::as_str) == Some(runtime)
        {
            return Err(Error::new(format!(
                "\"default_runtime_name\" is {runtime:?}: change that first, or no pod will start"
            )));
        }
        let Some(runtimes) = self.table(&["runtimes"], false)? else {
            return Ok(false);
        };
        Ok(runtimes.remove(runtime).is_some())
    }

    fn text(&self) -> Result<String> {
        Ok(self.document.to_string())
    }
}

/// Whether a runtime is of that kind and has these options.
fn says(entry: &Item, kind: &str, options: &[(&str, String)]) -> bool {
    let have = |key: &str| entry.get("options")?.get(key)?.as_str();
    let keys = ["BinaryName", "TypeUrl", "ConfigPath"];
    let want = |key: &str| {
        options
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, text)| text.as_str())
    };
    entry.get("runtime_type").and_then(Item::as_str) == Some(kind) && keys.iter().all(|key| have(key) == want(key))
}
