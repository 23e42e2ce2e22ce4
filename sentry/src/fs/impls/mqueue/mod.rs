//! The file system of POSIX message queues: names as `mq_open(3)` made them.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::pseudo::{Attr, DirBuilder, Dynamic, Entry, PseudoFs, fixed};
use crate::fs::{FileOps, FileType, FsType, Inode, InodeOps, MountArgs, OpenHow, SetAttr, Stat, SuperBlock};
use crate::ipc::IpcNamespace;
use crate::ipc::mqueue::{MessageQueue, QueueFile};

/// `MQUEUE_MAGIC`
const MAGIC: u64 = 0x1980_0202;
/// Size that Linux shows for each (`FILENT_SIZE`).
const SIZE: u64 = 80;

/// The file system type.
pub struct MqueueFsType;

impl FsType for MqueueFsType {
    fn name(&self) -> &'static str {
        "mqueue"
    }

    fn userns_mount(&self) -> bool {
        true
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        let sb = SuperBlock::new(Box::new(PseudoFs::new(MAGIC, String::new())), "mqueue");
        let mut root = DirBuilder::new(&sb);
        root.attr(Attr::root(0o1777));
        root.dynamic(Names(args.ipc.clone()));
        sb.set_root(fixed(&sb, FileType::Directory, root.into_ops()));
        Ok(sb)
    }
}

struct Names(Arc<IpcNamespace>);

impl Names {
    fn find(&self, name: &[u8]) -> Option<Arc<MessageQueue>> {
        self.0.mqueues.names.lock().get(name).cloned()
    }
}

impl Dynamic for Names {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        let queue = self.find(name).ok_or(Errno::ENOENT)?;
        let ino = queue.ino;
        Ok(Inode::new(
            Box::new(Node { queue }),
            dir.sb.clone(),
            ino,
            FileType::Regular,
        ))
    }

    fn list(&self, _dir: &Inode, from: u64) -> Result<Vec<Entry>> {
        let names = self.0.mqueues.names.lock();
        let mut entries: Vec<Entry> = names
            .iter()
            .map(|(name, queue)| Entry {
                key: queue.ino,
                name: name.clone(),
                ino: queue.ino,
                kind: FileType::Regular,
            })
            .collect();
        entries.retain(|e| e.key >= from);
        entries.sort_by_key(|e| e.key);
        Ok(entries)
    }

    fn is_valid(&self, name: &[u8], child: &Inode) -> bool {
        self.find(name).is_some_and(|q| q.ino == child.ino)
    }
}

struct Node {
    queue: Arc<MessageQueue>,
}

impl InodeOps for Node {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let state = self.queue.state.lock();
        let attr = Attr {
            mode: state.mode,
            uid: state.uid,
            gid: state.gid,
        };
        let mut stat = attr.stat(inode, 1, SIZE);
        stat.mtime = state.mtime;
        Ok(stat)
    }

    fn set_attr(&self, _inode: &Inode, attr: &SetAttr) -> Result<()> {
        let mut state = self.queue.state.lock();
        state.mode = attr.mode.unwrap_or(state.mode) & 0o777;
        state.uid = attr.uid.unwrap_or(state.uid);
        state.gid = attr.gid.unwrap_or(state.gid);
        Ok(())
    }

    fn open(&self, _inode: &Arc<Inode>, _how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(QueueFile {
            queue: self.queue.clone(),
        }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
