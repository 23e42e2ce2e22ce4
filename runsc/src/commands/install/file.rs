//! A configuration file that is replaced as a whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// No honest configuration comes near it.
const MAX_BYTES: u64 = 4 << 20;

pub(super) struct ConfigFile {
    /// Where it really is: a symbolic link stays one.
    path: PathBuf,
    /// Mode, owner and group to keep.
    old: Option<(u32, u32, u32)>,
}

impl ConfigFile {
    /// Reads it; a missing one is empty.
    pub(super) fn read(path: &Path) -> Result<(Self, String)> {
        let what = || path.display().to_string();
        let absolute = std::path::absolute(path).context(what)?;
        let path = match absolute.canonicalize() {
            Ok(path) => path,
            Err(e) if e.kind() == ErrorKind::NotFound && absolute.symlink_metadata().is_err() => {
                return Ok((
                    Self {
                        path: absolute,
                        old: None,
                    },
                    String::new(),
                ));
            }
            Err(e) => return Err(e).context(what),
        };
        let what = || path.display().to_string();
        let file = File::open(&path).context(what)?;
        let meta = file.metadata().context(what)?;
        if !meta.is_file() {
            return Err(Error::new(format!("{}: not a regular file", path.display())));
        }
        let mut text = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut text).context(what)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            return Err(Error::new(format!(
                "{}: larger than {} MiB",
                path.display(),
                MAX_BYTES >> 20
            )));
        }
        let text = String::from_utf8(text).map_err(|_| Error::new(format!("{}: not UTF-8", path.display())))?;
        let old = Some((meta.mode() & 0o7777, meta.uid(), meta.gid()));
        Ok((Self { path, old }, text))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Replaces it.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        let what = || format!("write {}", self.path.display());
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir).context(|| dir.display().to_string())?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = dir.join(format!(".{name}.{}", std::process::id()));
        self.fill(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &self.path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&temporary);
            })
            .context(what)
    }

    fn fill(&self, temporary: &Path, text: &str) -> std::io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(temporary)?;
        file.write_all(text.as_bytes())?;
        if let Some((mode, uid, gid)) = self.old {
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
            file.set_permissions(Permissions::from_mode(mode))?;
        } else {
            file.set_permissions(Permissions::from_mode(0o644))?;
        }
        // On the disk before the old one goes.
        file.sync_all()
    }
}
