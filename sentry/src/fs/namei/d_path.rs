//! Places as text (`getcwd(2)`, `/proc/PID/fd`, `/proc/PID/maps`).

use std::sync::Arc;

use super::Path;

/// The path from `root`, and whether `root` was met.
fn render(path: &Path, root: &Path) -> (Vec<u8>, bool) {
    if let Some(text) = path.dentry.anonymous_text() {
        return (text.to_vec(), true);
    }
    let deleted = path.dentry.is_unlinked();
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut at = path.clone();
    let reached = loop {
        if at.is_same(root) {
            break true;
        }
        if at.is_mount_root() {
            match at.mnt.mounted_on() {
                Some(place) => at = place,
                None => break false,
            }
            continue;
        }
        let Some(parent) = at.dentry.parent() else { break false };
        names.push(at.dentry.name());
        at = Path {
            mnt: at.mnt,
            dentry: parent,
        };
    };
    let mut out = Vec::new();
    for name in names.iter().rev() {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    if deleted {
        out.extend_from_slice(b" (deleted)");
    }
    (out, reached)
}

/// The path as seen from `root`, with ` (deleted)` where the name is gone.
pub fn d_path(path: &Path, root: &Path) -> Vec<u8> {
    render(path, root).0
}

/// Likewise; none where `root` is not above it.
pub fn d_path_or_unreachable(path: &Path, root: &Path) -> Option<Vec<u8>> {
    let (text, reached) = render(path, root);
    // The root itself may be gone from the tree and still be the root.
    let at_root = Arc::ptr_eq(&path.dentry, &root.dentry);
    (reached || at_root).then_some(text)
}
