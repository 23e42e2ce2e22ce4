//! Root, working directory and umask of tasks (`CLONE_FS`), like `struct fs_struct`.

use super::namei::Path;
use crate::sync::Mutex;

/// Shared by the tasks that `CLONE_FS` joins.
pub struct FsContext {
    state: Mutex<FsState>,
}

#[derive(Clone)]
struct FsState {
    root: Path,
    cwd: Path,
    umask: u32,
}

impl FsContext {
    /// A new one.
    pub fn new(root: Path, cwd: Path, umask: u32) -> FsContext {
        FsContext {
            state: Mutex::new(FsState {
                root,
                cwd,
                umask: umask & 0o777,
            }),
        }
    }

    /// A copy for a child without `CLONE_FS`.
    pub fn fork(&self) -> FsContext {
        FsContext {
            state: Mutex::new(self.state.lock().clone()),
        }
    }

    /// Root directory.
    pub fn root(&self) -> Path {
        self.state.lock().root.clone()
    }

    /// Working directory.
    pub fn cwd(&self) -> Path {
        self.state.lock().cwd.clone()
    }

    /// `umask(2)` in force.
    pub fn umask(&self) -> u32 {
        self.state.lock().umask
    }

    /// `chroot(2)`
    pub fn set_root(&self, root: Path) {
        self.state.lock().root = root;
    }

    /// `chdir(2)`
    pub fn set_cwd(&self, cwd: Path) {
        self.state.lock().cwd = cwd;
    }

    /// `umask(2)`: gives the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        std::mem::replace(&mut self.state.lock().umask, umask & 0o777)
    }
}
