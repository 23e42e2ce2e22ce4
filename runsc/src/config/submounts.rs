//! Mounts of the host beneath the source of an `rbind`: the guest has each as a mount of its own, with flags of its own.

use std::cell::OnceCell;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use rustix::fs::{major, minor};

/// More are served as parts of the mount that they are beneath.
const MOST: usize = 64;

/// Windows into the host's kernel, and what mounts itself when it is looked at.
const LEFT_OUT: [&str; 9] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "mqueue",
    "devpts",
    "securityfs",
    "debugfs",
    "autofs",
];

/// `MS_NOSYMFOLLOW`
pub const NO_SYMFOLLOW: u64 = 256;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Submount {
    /// Number of the mount.
    pub id: u64,
    pub path: PathBuf,
    /// From the source, without a leading slash.
    pub relative: String,
    /// `MS_*`
    pub flags: u64,
    pub file: bool,
}

/// The host's mounts, read when they are first asked for.
#[derive(Default)]
pub struct Table(OnceCell<Vec<u8>>);

impl Table {
    /// Those beneath a directory, parents first, if not too many.
    pub fn beneath(&self, source: &Path) -> Vec<Submount> {
        let mut found = self.all_beneath(source);
        found.truncate(MOST);
        found
    }

    /// Those beneath a directory, parents first.
    pub fn all_beneath(&self, source: &Path) -> Vec<Submount> {
        let Ok(source) = source.canonicalize() else {
            return Vec::new();
        };
        let table = self
            .0
            .get_or_init(|| std::fs::read("/proc/thread-self/mountinfo").unwrap_or_default());
        let mut found: Vec<Submount> = Vec::new();
        for line in table.split(|b| *b == b'\n') {
            let Some((submount, dev)) = parse(line, &source) else {
                continue;
            };
            // What another mount hides has a path that leads elsewhere.
            let visible =
                rustix::fs::stat(&submount.path).is_ok_and(|stat| (major(stat.st_dev), minor(stat.st_dev)) == dev);
            // Of several at one place, the last is on top.
            found.retain(|earlier| earlier.path != submount.path);
            if visible {
                let file = !submount.path.is_dir();
                found.push(Submount { file, ..submount });
            }
        }
        found.sort_by_key(|submount| submount.path.components().count());
        found
    }
}

/// A line of `/proc/PID/mountinfo`, if it is of a mount beneath `source`: the mount and its device.
fn parse(line: &[u8], source: &Path) -> Option<(Submount, (u32, u32))> {
    let mut fields = line.split(|b| *b == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let dev = std::str::from_utf8(fields.nth(1)?).ok()?;
    let (major, minor) = dev.split_once(':')?;
    let path = unescape(fields.nth(1)?);
    let options = std::str::from_utf8(fields.next()?).ok()?;
    let fstype = fields.skip_while(|field| *field != b"-").nth(1)?;
    if LEFT_OUT.iter().any(|name| name.as_bytes() == fstype) {
        return None;
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(&path));
    let relative = path.strip_prefix(source).ok()?.to_str()?.to_owned();
    if relative.is_empty() {
        return None;
    }
    let submount = Submount {
        id,
        path: path.to_owned(),
        relative,
        flags: flags(options),
        file: false,
    };
    Some((submount, (major.parse().ok()?, minor.parse().ok()?)))
}

fn flags(options: &str) -> u64 {
    let mut flags = MsFlags::empty().bits();
    let has = |name: &str| options.split(',').any(|option| option == name);
    for (name, flag) in [
        ("ro", MsFlags::MS_RDONLY),
        ("nosuid", MsFlags::MS_NOSUID),
        ("nodev", MsFlags::MS_NODEV),
        ("noexec", MsFlags::MS_NOEXEC),
        ("noatime", MsFlags::MS_NOATIME),
        ("nodiratime", MsFlags::MS_NODIRATIME),
        ("relatime", MsFlags::MS_RELATIME),
    ] {
        if has(name) {
            flags |= flag.bits();
        }
    }
    if has("nosymfollow") {
        flags |= NO_SYMFOLLOW;
    }
    if !has("noatime") && !has("relatime") {
        flags |= MsFlags::MS_STRICTATIME.bits();
    }
    flags
}

/// Undoes the `\ooo` of spaces and the like.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = b"36 35 98:5 /x /mnt/a\\040b/c ro,nosuid,relatime shared:1 master:2 - ext4 /dev/x rw";
        let (got, dev) = parse(line, Path::new("/mnt/a b")).unwrap();
        assert_eq!((got.id, got.relative.as_str(), dev), (36, "c", (98, 5)));
        let wanted = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_RELATIME;
        assert_eq!(got.flags, wanted.bits());
        assert!(parse(line, Path::new("/mnt/a")).is_none());
        assert!(parse(line, Path::new("/mnt/a b/c")).is_none());
        let line = b"36 35 0:5 / /mnt/p rw - proc proc rw";
        assert!(parse(line, Path::new("/mnt")).is_none());
        assert!(parse(b"", Path::new("/")).is_none());
        assert!(parse(b"1 2 3", Path::new("/")).is_none());
        assert_eq!(flags("rw,nodev"), (MsFlags::MS_NODEV | MsFlags::MS_STRICTATIME).bits());
        assert_eq!(unescape(b"a\\134\\0"), b"a\\\\0");
    }
}
