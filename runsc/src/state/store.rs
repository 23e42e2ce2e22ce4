//! Directories, locks and atomic writes.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::Record;
use crate::cli::Globals;
use crate::error::{Context, Error, Result};

const STATE: &str = "state.json";
const LOCK: &str = "lock";

/// Everything beneath `--root`.
pub struct Store {
    root: PathBuf,
}

/// One container's directory, locked.
pub struct Container {
    dir: PathBuf,
    _lock: File,
}

impl Store {
    /// Where containers are kept.
    pub fn new(globals: &Globals) -> Self {
        let root = globals.root.clone().unwrap_or_else(|| {
            let uid = rustix::process::geteuid();
            match std::env::var_os("XDG_RUNTIME_DIR") {
                _ if uid.is_root() => "/run/runsc".into(),
                Some(dir) => PathBuf::from(dir).join("runsc"),
                None => format!("/tmp/runsc-{}", uid.as_raw()).into(),
            }
        });
        // Engines change directory; what is written down must not depend on it.
        let root = std::path::absolute(&root).unwrap_or(root);
        Self { root }
    }

    /// Makes the directory of a new container.
    pub fn create(&self, id: &str) -> Result<Container> {
        check_id(id)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .context(|| format!("state directory {}", self.root.display()))?;
        self.check_owner()?;
        let dir = self.root.join(id);
        loop {
            match DirBuilder::new().mode(0o700).create(&dir) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    return Err(Error::new(format!("container with given ID already exists: {id}")));
                }
                other => other.context(|| format!("state directory {}", dir.display()))?,
            }
            match lock(&dir) {
                Ok(Some(lock)) => return Ok(Container { dir, _lock: lock }),
                // This process got no processor for so long that another one took the directory for left behind.
                Ok(None) => {}
                Err(e) => {
                    let _ = fs::remove_dir_all(&dir);
                    return Err(e);
                }
            }
        }
    }

    /// In a directory that everybody can write, somebody else may have been first.
    fn check_owner(&self) -> Result<()> {
        let meta = fs::metadata(&self.root).context(|| format!("state directory {}", self.root.display()))?;
        let uid = rustix::process::geteuid();
        if uid.is_root() || meta.uid() == uid.as_raw() {
            return Ok(());
        }
        Err(Error::new(format!(
            "state directory {} belongs to user {}",
            self.root.display(),
            meta.uid()
        )))
    }

    /// Locks an existing container; waits for other commands on it.
    pub fn open(&self, id: &str) -> Result<Container> {
        check_id(id)?;
        let dir = self.root.join(id);
        match lock(&dir)? {
            Some(lock) => Ok(Container { dir, _lock: lock }),
            None => Err(Error::new(format!("container does not exist: {id}"))),
        }
    }

    /// Reads a container without locking it.
    pub fn load(&self, id: &str) -> Result<Record> {
        check_id(id)?;
        read_record(&self.root.join(id))
            .context(|| format!("container {id}"))?
            .ok_or_else(|| Error::new(format!("container does not exist: {id}")))
    }

    /// Directory of a container.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Directory of the sandbox that a container runs in.
    pub fn sandbox_dir(&self, record: &Record) -> PathBuf {
        self.dir(record.control_id())
    }

    /// Removes directories that never got a record because their runsc was killed.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let dir = entry.path();
            // A younger one may be in the making.
            let old = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > Duration::from_secs(5)));
            if !old || dir.join(STATE).exists() || !dir.is_dir() {
                continue;
            }
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(dir.join(LOCK));
            if lock.is_ok_and(|lock| rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
                let _ = fs::remove_dir_all(&dir);
            }
        }
    }

    /// All containers, by id; such whose record cannot be read are left out.
    pub fn list(&self) -> Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.root) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.context(|| format!("state directory {}", self.root.display()))?,
        };
        let mut records: Vec<Record> = entries
            .flatten()
            .filter_map(|entry| read_record(&entry.path()).ok().flatten())
            .collect();
        records.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(records)
    }
}

impl Container {
    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its record; none when runsc died before it wrote one.
    pub fn read(&self) -> Result<Option<Record>> {
        read_record(&self.dir)
    }

    /// Replaces the record.
    pub fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record).context(|| "state.json")?;
        write_atomically(&self.dir.join(STATE), &text)
    }

    /// Removes the directory and everything in it.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.dir).context(|| format!("remove {}", self.dir.display()))
    }
}

/// Writes a file that is either the old one or the new one, never a part.
pub fn write_atomically(path: &Path, text: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
        .context(|| format!("write {}", path.display()))
}

fn read_record(dir: &Path) -> Result<Option<Record>> {
    let path = dir.join(STATE);
    let text = match fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.context(|| path.display().to_string())?,
    };
    serde_json::from_slice(&text)
        .map(Some)
        .context(|| path.display().to_string())
}

/// Takes the lock of a directory; none if there is no such container any more.
fn lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join(LOCK);
    loop {
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.context(|| path.display().to_string())?,
        };
        rustix::fs::flock(&file, FlockOperation::LockExclusive).context(|| path.display().to_string())?;
        // It may have been removed, and even made anew, while this command waited.
        match (fs::metadata(&path), file.metadata()) {
            (Ok(now), Ok(mine)) if now.ino() == mine.ino() && now.dev() == mine.dev() => return Ok(Some(file)),
            (Err(e), _) if e.kind() == ErrorKind::NotFound => {}
            (Ok(_), Ok(_)) => {}
            (Err(e), _) | (_, Err(e)) => return Err(e).context(|| path.display().to_string()),
        }
    }
}

fn check_id(id: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id.len() > 255 || id == "." || id == ".." || !id.chars().all(fine) {
        return Err(Error::new(format!(
            "invalid container id {id:?}: 1 to 255 letters, digits, '_', '+', '-' and '.'"
        )));
    }
    Ok(())
}
