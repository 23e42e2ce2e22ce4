//! `proc(5)`.
//!
//! One instance per mount: it shows the processes of one pid namespace. Directories of processes are made when looked up
//! and hold their task weakly; what they show is made when read.

mod machine;
mod net;
mod options;
pub(crate) mod pid;
mod root;
pub(crate) mod sys;
mod sysvipc;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use abi::errno::Result;

use super::pseudo::PseudoFs;
use crate::cred::UserNamespace;
use crate::fs::{FsType, MountArgs, Path, SuperBlock};
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::{PidNamespace, Task, current};

/// `PROC_SUPER_MAGIC`
const MAGIC: u64 = 0x9fa0;

/// A mounted instance.
pub(super) struct Proc {
    pub(super) kernel: Arc<Kernel>,
    /// Whose processes it shows.
    pub(super) ns: Arc<PidNamespace>,
    options: options::Options,
    serials: Mutex<Serials>,
}

/// Numbers of tasks that are never used again, unlike their ids: inode numbers come from them.
#[derive(Default)]
struct Serials {
    known: HashMap<usize, (Weak<Task>, u64)>,
    next: u64,
}

impl Proc {
    /// The first of the inode numbers that belong to a task's directory.
    fn ino_base(&self, task: &Arc<Task>) -> u64 {
        let mut serials = self.serials.lock();
        let at = Arc::as_ptr(task).addr();
        // While a weak reference is kept the address belongs to that task.
        if let Some((_, serial)) = serials.known.get(&at).filter(|(t, _)| t.strong_count() > 0) {
            return *serial << 32;
        }
        if serials.known.len() >= 1024 && serials.known.len().is_power_of_two() {
            serials.known.retain(|_, (t, _)| t.strong_count() > 0);
        }
        serials.next += 1;
        let serial = serials.next;
        serials.known.insert(at, (Arc::downgrade(task), serial));
        serial << 32
    }
}

/// The user namespace of the reader.
fn reader_ns(kernel: &Kernel) -> Arc<UserNamespace> {
    current().map_or_else(|| kernel.root_user_ns.clone(), |t| t.cred().user_ns.clone())
}

/// A place as the reader sees it.
fn shown_path(path: &Path) -> Vec<u8> {
    match current() {
        Some(task) => crate::fs::namei::d_path(path, &task.fs().root()),
        None => crate::fs::namei::d_path(path, path),
    }
}

/// Octal escapes for what separates fields in `/proc/mounts` and `/proc/PID/maps`.
fn escape(text: &[u8], special: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &b in text {
        if special.contains(&b) {
            out.extend_from_slice(format!("\\{b:03o}").as_bytes());
        } else {
            out.push(b);
        }
    }
    out
}

/// The file system type.
pub struct ProcFsType;

impl FsType for ProcFsType {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn userns_mount(&self) -> bool {
        true
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        let options = options::Options::parse(args.data)?;
        let ns = args.pid_ns.clone();
        let proc = Arc::new(Proc {
            kernel: args.kernel.clone(),
            ns,
            options,
            serials: Mutex::default(),
        });
        let sb = SuperBlock::new(Box::new(PseudoFs::new(MAGIC, options.show())), "proc");
        let root = root::build(&sb, &proc);
        sys::preset(&root, &args.kernel.sysctl.lock());
        sb.set_root(root);
        Ok(sb)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn separators_are_escaped() {
        assert_eq!(super::escape(b"a b\\c\n", b" \t\n\\"), b"a\\040b\\134c\\012");
    }
}
