//! `/proc/sys` (`sysctl(8)`).

mod fs;
mod kernel;
mod net;
mod steer;
mod vm;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use abi::Errno;
use abi::errno::Result;

use super::Proc;
use crate::fs::Inode;
use crate::fs::impls::pseudo::{DirBuilder, Text, is_shared_text, parse_number, write_text};

pub(super) fn fill(dir: &mut DirBuilder<'_>, proc: &Arc<Proc>) {
    dir.dir("kernel", |d| kernel::fill(d, proc));
    dir.dir("fs", |d| fs::fill(d, proc));
    dir.dir("vm", |d| vm::fill(d, proc));
    dir.dir("net", |d| net::fill(d, proc));
    dir.dir("user", |d| {
        for kind in ["user", "pid", "uts", "ipc", "net", "mnt", "cgroup", "time"] {
            number(d, &format!("max_{kind}_namespaces"), 65536, 0, i64::from(i32::MAX));
        }
        let bounds = (0, i64::from(i32::MAX));
        steer::kernel(
            d,
            &proc.kernel,
            "max_inotify_instances",
            |s| &s.inotify_instances,
            bounds,
        );
        steer::kernel(d, &proc.kernel, "max_inotify_watches", |s| &s.inotify_watches, bounds);
    });
    dir.dir("dev", |_| {});
    dir.dir("abi", |_| {});
    dir.dir("debug", |_| {});
}

/// Gives a new procfs the values of `linux.sysctl`, which were found to be settable when the container was built. What steers the
/// kernel has its value since then, or a later one.
pub(super) fn preset(root: &Arc<Inode>, values: &[(String, String)]) {
    for (name, value) in values {
        if let Ok(file) = find(root, name)
            && !is_shared_text(&file)
        {
            let _checked_before = write_text(&file, value.as_bytes());
        }
    }
}

fn find(root: &Arc<Inode>, name: &str) -> Result<Arc<Inode>> {
    // With a slash the parts may hold dots: names of interfaces.
    let separator = if name.contains('/') { '/' } else { '.' };
    let mut at = root.ops.lookup(root, b"sys")?;
    for part in name.split(separator) {
        at = at.ops.lookup(&at, part.as_bytes())?;
    }
    Ok(at)
}

/// Sets one value by its `sysctl(8)` name: `ENOENT` for an unknown one, `EACCES` for one that cannot be changed.
pub(crate) fn set(root: &Arc<Inode>, name: &str, value: &str) -> Result<()> {
    let file = find(root, name)?;
    write_text(&file, value.as_bytes())
}

/// A number that may be set within bounds. Where it steers nothing it is kept all the same, for who reads it back.
struct Number {
    value: AtomicI64,
    min: i64,
    max: i64,
}

impl Text for Number {
    fn read(&self) -> Result<Vec<u8>> {
        Ok(format!("{}\n", self.value.load(Ordering::Relaxed)).into_bytes())
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let value = parse_number(data)?;
        if value < self.min || value > self.max {
            return Err(Errno::EINVAL);
        }
        self.value.store(value, Ordering::Relaxed);
        Ok(data.len())
    }
}

/// Adds a number with bounds.
fn number(dir: &mut DirBuilder<'_>, name: &str, value: i64, min: i64, max: i64) {
    let value = AtomicI64::new(value);
    dir.file(name, 0o644, Number { value, min, max });
}

/// Adds a text that cannot be set.
fn constant(dir: &mut DirBuilder<'_>, name: &str, text: impl Into<String>) {
    let mut text = text.into();
    text.push('\n');
    dir.text(name, move || Ok(text.clone()));
}

/// A text that may be set.
struct Words {
    text: crate::sync::Mutex<Vec<u8>>,
    max: usize,
}

impl Text for Words {
    fn read(&self) -> Result<Vec<u8>> {
        let mut out = self.text.lock().clone();
        out.push(b'\n');
        Ok(out)
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let line = data.split(|&b| b == b'\n' || b == 0).next().unwrap_or_default();
        let line = line.get(..line.len().min(self.max)).unwrap_or(line);
        *self.text.lock() = line.to_vec();
        Ok(data.len())
    }
}

/// Adds a text that may be set.
fn words(dir: &mut DirBuilder<'_>, name: &str, text: &str, max: usize) {
    let text = crate::sync::Mutex::new(text.as_bytes().to_vec());
    dir.file(name, 0o644, Words { text, max });
}
