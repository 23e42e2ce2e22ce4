//! Extended attributes of tmpfs.

use std::collections::BTreeMap;

use abi::Errno;
use abi::errno::Result;

/// `XATTR_CREATE`
const XATTR_CREATE: i32 = 1;
/// `XATTR_REPLACE`
const XATTR_REPLACE: i32 = 2;
/// Most bytes of one inode's attributes, so that they stay bounded as they are on a disk.
const MAX_TOTAL: usize = 128 << 10;

/// Attributes of one inode.
#[derive(Default)]
pub(super) struct Xattrs {
    all: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Name spaces that tmpfs has.
pub(super) fn is_known(name: &[u8]) -> bool {
    [&b"user."[..], b"trusted.", b"security."]
        .iter()
        .any(|p| name.starts_with(p))
}

impl Xattrs {
    pub(super) fn get(&self, name: &[u8]) -> Result<Vec<u8>> {
        if !is_known(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.all.get(name).cloned().ok_or(Errno::ENODATA)
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        if !is_known(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        let there = self.all.contains_key(name);
        if there && flags & XATTR_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        if !there && flags & XATTR_REPLACE != 0 {
            return Err(Errno::ENODATA);
        }
        let others = self.all.iter().filter(|(n, _)| n.as_slice() != name);
        let total: usize = others.map(|(n, v)| n.len() + v.len()).sum();
        if total + name.len() + value.len() > MAX_TOTAL {
            return Err(Errno::ENOSPC);
        }
        self.all.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    pub(super) fn list(&self) -> Vec<Vec<u8>> {
        self.all.keys().cloned().collect()
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Result<()> {
        if !is_known(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.all.remove(name).map(|_| ()).ok_or(Errno::ENODATA)
    }
}
