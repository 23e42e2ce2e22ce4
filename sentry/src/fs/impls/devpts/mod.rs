//! `devpts`: the slaves of pseudo-terminals, and `ptmx`. Every mount is an instance of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::fs::devices::Devices;
use crate::fs::namei::Path;
use crate::fs::stat::makedev;
use crate::fs::{
    DirSink, File, FileOps, FileType, FsType, Inode, InodeOps, MountArgs, OpenHow, SeekFrom, SetAttr, Sink, Stat,
    StatFs, SuperBlock, SuperOps, Timestamp,
};
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::tty::{MasterFile, PTS_MAJOR, Tty, open_slave};

/// `DEVPTS_SUPER_MAGIC`
const MAGIC: u64 = 0x1cd1;
/// Most pairs of an instance (`/proc/sys/kernel/pty/max`).
const MAX: u32 = 4096;
/// Device number of `ptmx`.
const PTMX: (u32, u32) = (5, 2);

/// An instance.
struct DevPts {
    options: Options,
    pairs: Mutex<BTreeMap<u32, (Arc<Tty>, Arc<Inode>)>>,
    ptmx: Mutex<Option<Arc<Inode>>>,
}

#[derive(Clone, Copy)]
struct Options {
    uid: Option<u32>,
    gid: Option<u32>,
    mode: u32,
    ptmxmode: u32,
    max: u32,
}

impl Options {
    fn parse(data: &[u8]) -> Result<Options> {
        let mut options = Options {
            uid: None,
            gid: None,
            mode: 0o600,
            ptmxmode: 0,
            max: MAX,
        };
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        for option in text.split(',').filter(|o| !o.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| u32::from_str_radix(value, radix).map_err(|_| Errno::EINVAL);
            match key {
                "newinstance" => {}
                "uid" => options.uid = Some(number(10)?),
                "gid" => options.gid = Some(number(10)?),
                "mode" => options.mode = number(8)? & 0o777,
                "ptmxmode" => options.ptmxmode = number(8)? & 0o777,
                "max" => options.max = number(10)?.min(MAX),
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

fn instance(sb: &SuperBlock) -> Option<&DevPts> {
    sb.downcast::<DevPts>()
}

impl SuperOps for DevPts {
    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            magic: MAGIC,
            bsize: 4096,
            namelen: 255,
            ..StatFs::default()
        })
    }

    fn show_options(&self) -> String {
        let mut out = String::new();
        if let Some(uid) = self.options.uid {
            out.push_str(&format!(",uid={uid}"));
        }
        if let Some(gid) = self.options.gid {
            out.push_str(&format!(",gid={gid}"));
        }
        out.push_str(&format!(
            ",mode={:03o},ptmxmode={:03o}",
            self.options.mode, self.options.ptmxmode
        ));
        out
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The root, `ptmx` and the slaves.
struct Node {
    stat: Mutex<Stat>,
}

fn node(mode: u32, uid: u32, gid: u32, rdev: u64) -> Box<Node> {
    let now = Timestamp::now();
    Box::new(Node {
        stat: Mutex::new(Stat {
            mode,
            nlink: 1,
            uid,
            gid,
            rdev,
            blksize: 1024,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            ..Stat::default()
        }),
    })
}

impl InodeOps for Node {
    fn stat(&self, inode: &Inode) -> Result<Stat> {
        let mut stat = *self.stat.lock();
        stat.dev = inode.sb.dev;
        stat.ino = inode.ino;
        if inode.is_dir() {
            stat.nlink = 2;
        }
        Ok(stat)
    }

    fn set_attr(&self, _inode: &Inode, attr: &SetAttr) -> Result<()> {
        let mut stat = self.stat.lock();
        if let Some(mode) = attr.mode {
            stat.mode = (stat.mode & !0o7777) | (mode & 0o7777);
        }
        stat.uid = attr.uid.unwrap_or(stat.uid);
        stat.gid = attr.gid.unwrap_or(stat.gid);
        stat.atime = attr.atime.unwrap_or(stat.atime);
        stat.mtime = attr.mtime.unwrap_or(stat.mtime);
        stat.ctime = Timestamp::now();
        Ok(())
    }

    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Arc<Inode>> {
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let fs = instance(&dir.sb).ok_or(Errno::ENOENT)?;
        if name == b"ptmx" {
            return fs.ptmx.lock().clone().ok_or(Errno::ENOENT);
        }
        let number: u32 = std::str::from_utf8(name)
            .ok()
            .and_then(|n| n.parse().ok())
            .ok_or(Errno::ENOENT)?;
        if number.to_string().as_bytes() != name {
            return Err(Errno::ENOENT);
        }
        let pairs = fs.pairs.lock();
        pairs.get(&number).map(|(_, inode)| inode.clone()).ok_or(Errno::ENOENT)
    }

    fn revalidate(&self, dir: &Arc<Inode>, name: &[u8], child: Option<&Arc<Inode>>) -> bool {
        match (self.lookup(dir, name), child) {
            (Ok(now), Some(child)) => Arc::ptr_eq(&now, child),
            (Err(_), None) => true,
            _ => false,
        }
    }

    fn open(&self, inode: &Arc<Inode>, _how: &OpenHow) -> Result<Arc<dyn FileOps>> {
        if inode.is_dir() {
            Ok(Arc::new(OpenDir))
        } else {
            Err(Errno::ENXIO)
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct OpenDir;

impl FileOps for OpenDir {
    fn read(&self, _file: &File, _dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn readdir(&self, file: &File, pos: u64, out: &mut dyn DirSink) -> Result<u64> {
        let inode = file.inode();
        let fs = instance(&inode.sb).ok_or(Errno::ENOTDIR)?;
        let mut names: Vec<(u64, Vec<u8>, u64, FileType)> = vec![
            (0, b".".to_vec(), 1, FileType::Directory),
            (1, b"..".to_vec(), 1, FileType::Directory),
            (2, b"ptmx".to_vec(), 2, FileType::CharDevice),
        ];
        let pairs = fs.pairs.lock();
        let slaves = pairs.iter().map(|(n, (_, inode))| {
            (
                u64::from(*n) + 3,
                n.to_string().into_bytes(),
                inode.ino,
                FileType::CharDevice,
            )
        });
        names.extend(slaves);
        drop(pairs);
        let mut at = pos;
        for (key, name, ino, kind) in names.into_iter().filter(|(k, ..)| *k >= pos) {
            if !out.entry(&name, ino, kind, key + 1) {
                return Ok(at);
            }
            at = key + 1;
        }
        Ok(at)
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        to.in_sequence(pos)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The file system type.
pub struct DevPtsFsType;

impl FsType for DevPtsFsType {
    fn name(&self) -> &'static str {
        "devpts"
    }

    fn userns_mount(&self) -> bool {
        true
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        let options = Options::parse(args.data)?;
        Ok(new_instance(options))
    }
}

fn new_instance(options: Options) -> Arc<SuperBlock> {
    let sb = SuperBlock::new(
        Box::new(DevPts {
            options,
            pairs: Mutex::default(),
            ptmx: Mutex::new(None),
        }),
        "devpts",
    );
    let root = node(FileType::Directory.mode_bits() | 0o755, 0, 0, 0);
    sb.set_root(Inode::new(root, sb.clone(), 1, FileType::Directory));
    let mode = FileType::CharDevice.mode_bits() | options.ptmxmode;
    let ptmx = node(mode, 0, 0, makedev(PTMX.0, PTMX.1));
    if let Some(fs) = instance(&sb) {
        *fs.ptmx.lock() = Some(Inode::new(ptmx, sb.clone(), 2, FileType::CharDevice));
    }
    sb
}

/// A new pair in the instance, opened by its master.
fn new_pair(kernel: &Arc<Kernel>, sb: &Arc<SuperBlock>, owner: (u32, u32)) -> Result<Arc<MasterFile>> {
    let fs = instance(sb).ok_or(Errno::ENODEV)?;
    let mut pairs = fs.pairs.lock();
    let index = (0..fs.options.max)
        .find(|n| !pairs.contains_key(n))
        .ok_or(Errno::ENOSPC)?;
    let tty = Tty::new(kernel, index);
    let mode = FileType::CharDevice.mode_bits() | fs.options.mode;
    let uid = fs.options.uid.unwrap_or(owner.0);
    let gid = fs.options.gid.unwrap_or(owner.1);
    let slave = node(mode, uid, gid, makedev(PTS_MAJOR, index));
    let inode = Inode::new(slave, sb.clone(), u64::from(index) + 3, FileType::CharDevice);
    pairs.insert(index, (tty.clone(), inode));
    drop(pairs);
    let of = Arc::downgrade(sb);
    let on_close = move |index: u32| {
        if let Some(sb) = of.upgrade()
            && let Some(fs) = instance(&sb)
        {
            fs.pairs.lock().remove(&index);
        }
    };
    Ok(MasterFile::new(tty, Box::new(on_close)))
}

/// The instance that a `ptmx` node belongs to: its own, or the one mounted on `pts` beside it.
fn instance_of(path: &Path) -> Option<Arc<SuperBlock>> {
    if instance(&path.mnt.sb).is_some() {
        return Some(path.mnt.sb.clone());
    }
    let dir = path.dentry.parent()?;
    let crate::fs::dentry::Child::Positive(pts) = dir.cached(b"pts")? else {
        return None;
    };
    let mnt = path.mnt.child_at(&pts)?;
    instance(&mnt.sb).map(|_| mnt.sb.clone())
}

/// Place of the slave of a pair whose master `file` is, for `TIOCGPTPEER`.
pub(crate) fn slave_path(file: &File, index: u32) -> Option<Path> {
    let sb = instance_of(&file.path)?;
    let (_, inode) = instance(&sb)?.pairs.lock().get(&index).cloned()?;
    if Arc::ptr_eq(&sb, &file.path.mnt.sb) {
        let dentry = file.path.mnt.root.insert(index.to_string().as_bytes(), inode);
        return Some(Path {
            mnt: file.path.mnt.clone(),
            dentry,
        });
    }
    Some(Path::new_unnamed(
        &file.path.mnt,
        inode,
        format!("/dev/pts/{index}").as_bytes(),
    ))
}

/// A pair for the console of a container, in the instance mounted at `root`, or in one of its own: (pair, master, place of
/// the slave).
pub fn console_pair(kernel: &Arc<Kernel>, pts: Option<&Path>) -> Result<(Arc<Tty>, Arc<MasterFile>, Path)> {
    let place = pts.filter(|p| instance(&p.mnt.sb).is_some());
    let sb = match place {
        Some(path) => path.mnt.sb.clone(),
        None => new_instance(Options::parse(b"")?),
    };
    let master = new_pair(kernel, &sb, (0, 0))?;
    let tty = master.tty().clone();
    tty.unlock();
    let fs = instance(&sb).ok_or(Errno::ENODEV)?;
    let (_, inode) = fs.pairs.lock().get(&tty.index).cloned().ok_or(Errno::EIO)?;
    let name = tty.index.to_string();
    let path = match place {
        Some(at) => Path {
            mnt: at.mnt.clone(),
            dentry: at.mnt.root.insert(name.as_bytes(), inode),
        },
        None => Path::new_unnamed(&kernel.vfs.anon.inode, inode, format!("/dev/pts/{name}").as_bytes()),
    };
    Ok((tty, master, path))
}

/// Adds the drivers of `ptmx` and of slaves.
pub(super) fn register(devices: &Devices) {
    let ptmx = |task: &Arc<crate::task::Task>, path: &Path, _: &OpenHow| {
        let sb = instance_of(path).ok_or(Errno::ENODEV)?;
        let cred = task.cred();
        let master = new_pair(&task.kernel, &sb, (cred.fsuid, cred.fsgid))?;
        Ok(master as Arc<dyn FileOps>)
    };
    devices.register(PTMX.0, Some(PTMX.1), Arc::new(ptmx));
    let slave = |task: &Arc<crate::task::Task>, path: &Path, how: &OpenHow| {
        let fs = instance(&path.inode().sb).ok_or(Errno::EIO)?;
        let index = crate::fs::stat::minor(path.inode().stat()?.rdev);
        let tty = fs.pairs.lock().get(&index).map(|(t, _)| t.clone()).ok_or(Errno::EIO)?;
        Ok(open_slave(&tty, task, how.flags)? as Arc<dyn FileOps>)
    };
    devices.register(PTS_MAJOR, None, Arc::new(slave));
    let tty = |task: &Arc<crate::task::Task>, _: &Path, how: &OpenHow| {
        let session = task.kernel.tasks.session(&task.group).ok_or(Errno::ENXIO)?;
        let tty = session.tty.lock().clone().ok_or(Errno::ENXIO)?;
        let tty = tty
            .as_any()
            .downcast_ref::<Tty>()
            .and_then(Tty::arc)
            .ok_or(Errno::ENXIO)?;
        let flags = how.flags | crate::fs::OpenFlags::NOCTTY;
        Ok(open_slave(&tty, task, flags)? as Arc<dyn FileOps>)
    };
    devices.register(5, Some(0), Arc::new(tty));
}
