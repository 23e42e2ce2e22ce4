//! `HOME` of a process whose configuration does not give it one, from the container's own `/etc/passwd`, as with runc.

use std::sync::Arc;

use super::copy;
use crate::cred::Cred;
use crate::fs::io::VecSink;
use crate::fs::namei::{Lookup, Walker};
use crate::fs::{FileType, OpenFlags, Path};

/// No honest one comes near it.
const MAX_BYTES: usize = 1 << 20;

/// The directory of that user; `/` for one whom nobody knows.
pub fn of(root: &Path, cred: &Arc<Cred>, uid: u32) -> String {
    find(&passwd(root, cred).unwrap_or_default(), uid).unwrap_or_else(|| "/".to_owned())
}

fn passwd(root: &Path, cred: &Arc<Cred>) -> Option<Vec<u8>> {
    let path = b"/etc/passwd";
    let walker = Walker::with_root(root, cred.clone(), Lookup::FOLLOW);
    let at = walker.start(-1, path).ok()?.finish(path).ok()?;
    if at.inode().kind != FileType::Regular {
        return None;
    }
    let file = copy::open(&at, at.inode(), OpenFlags::empty()).ok()?;
    let mut text = VecSink::new(MAX_BYTES);
    loop {
        let pos = u64::try_from(text.data.len()).ok()?;
        match file.ops.read(&file, &mut text, pos) {
            Ok(0) | Err(_) => return Some(text.data),
            Ok(_) => {}
        }
    }
}

/// `name:password:uid:gid:comment:home:shell`
fn find(passwd: &[u8], uid: u32) -> Option<String> {
    let text = String::from_utf8_lossy(passwd);
    let home = text.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let known = fields.next()?.parse::<u32>().ok()? == uid;
        fields.nth(2).filter(|_| known)
    })?;
    (home.starts_with('/') && !home.contains('\0')).then(|| home.to_owned())
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn lines() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n\nbroken\nu:x:7:7::/home/u:\nv:x:8:8::rel:\nw:x:9";
        for (uid, home) in [
            (0, Some("/root")),
            (7, Some("/home/u")),
            (8, None),
            (9, None),
            (10, None),
        ] {
            assert_eq!(find(text, uid).as_deref(), home, "{uid}");
        }
    }
}
