//! Mount options of tmpfs.

use abi::Errno;
use abi::errno::Result;

use super::PAGE;

/// What `tmpfs(5)` knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Most pages of contents; 0 is no limit.
    pub max_pages: u64,
    /// Most inodes; 0 is no limit.
    pub max_inodes: u64,
    /// Of the root.
    pub mode: u32,
    /// Of the root.
    pub uid: u32,
    /// Of the root.
    pub gid: u32,
    memory_pages: u64,
    shown: (bool, bool),
}

impl Options {
    pub(super) fn defaults(total_memory: u64, uid: u32, gid: u32) -> Options {
        let memory_pages = total_memory / PAGE;
        Options {
            max_pages: memory_pages / 2,
            max_inodes: memory_pages / 2,
            mode: 0o1777,
            uid,
            gid,
            memory_pages,
            shown: (false, false),
        }
    }

    pub(super) fn unlimited() -> Options {
        Options {
            max_pages: 0,
            max_inodes: 0,
            ..Options::defaults(0, 0, 0)
        }
    }

    /// Takes `key=value,...`; unknown keys are `EINVAL`.
    pub(super) fn parse(&mut self, data: &[u8]) -> Result<()> {
        let data = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        for option in data.split(',').filter(|o| !o.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" => {
                    self.max_pages = match value.strip_suffix('%') {
                        Some(percent) => {
                            let percent: u64 = percent.parse().map_err(|_| Errno::EINVAL)?;
                            self.memory_pages.saturating_mul(percent) / 100
                        }
                        None => memparse(value)?.div_ceil(PAGE),
                    };
                    self.shown.0 = true;
                }
                "nr_blocks" => {
                    self.max_pages = memparse(value)?;
                    self.shown.0 = true;
                }
                "nr_inodes" => {
                    self.max_inodes = memparse(value)?;
                    self.shown.1 = true;
                }
                "mode" => self.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777,
                "uid" => self.uid = value.parse().map_err(|_| Errno::EINVAL)?,
                "gid" => self.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                // How the host lays out its pages is not the guest's to see.
                "huge" | "mpol" | "inode32" | "inode64" | "noswap" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(())
    }

    /// As `/proc/mounts` shows them.
    pub(super) fn show(&self) -> String {
        use std::fmt::Write;
        let mut out = String::new();
        if self.shown.0 {
            let _ = write!(out, ",size={}k", self.max_pages.saturating_mul(PAGE / 1024));
        }
        if self.shown.1 {
            let _ = write!(out, ",nr_inodes={}", self.max_inodes);
        }
        if self.mode != 0o1777 {
            let _ = write!(out, ",mode={:o}", self.mode);
        }
        if self.uid != 0 {
            let _ = write!(out, ",uid={}", self.uid);
        }
        if self.gid != 0 {
            let _ = write!(out, ",gid={}", self.gid);
        }
        out
    }
}

/// A number with a suffix, like the kernel's `memparse`.
fn memparse(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(Errno::EINVAL),
    };
    let n: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    n.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_parse() {
        let mut o = Options::defaults(1 << 30, 0, 0);
        o.parse(b"size=64m,mode=755,nr_inodes=1k").unwrap();
        assert_eq!((o.max_pages, o.max_inodes, o.mode), (16384, 1024, 0o755));
        assert_eq!(o.show(), ",size=65536k,nr_inodes=1024,mode=755");
        o.parse(b"size=50%").unwrap();
        assert_eq!(o.max_pages, 131_072);
        assert_eq!(o.parse(b"bogus=1"), Err(Errno::EINVAL));
    }
}
