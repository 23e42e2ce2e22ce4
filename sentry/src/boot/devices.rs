//! The nodes of `/dev` that every container has, and those of `linux.devices`.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::config::{ContainerConfig, DeviceConfig, MountConfig, MountKind};
use super::tree::{Builder, During, Failure};
use crate::fs::dentry::Dentry;
use crate::fs::inode::Inode;
use crate::fs::mount::{Mount, MountFlags, tree};
use crate::fs::stat::makedev;
use crate::fs::{FileType, NewNode, Path, SuperBlock, impls};

/// Makes them. A `/dev` that the configuration binds is whole as it is, as with runc.
pub(super) fn make(builder: &Builder<'_>, root: &Path, config: &ContainerConfig) -> std::result::Result<(), Failure> {
    if config.mounts.iter().any(binds_dev) {
        return Ok(());
    }
    let mut nodes = Nodes {
        builder,
        root,
        spare: None,
        laid_over: 0,
    };
    nodes.default_devices().during(|| "devices".to_owned())?;
    for device in &config.devices {
        nodes.device(device).during(|| format!("device {:?}", device.path))?;
    }
    Ok(())
}

fn binds_dev(mount: &MountConfig) -> bool {
    matches!(mount.kind, MountKind::Bind { .. }) && mount.destination.trim_end_matches('/') == "/dev"
}

struct Nodes<'a> {
    builder: &'a Builder<'a>,
    root: &'a Path,
    /// A file system for nodes that cannot stand where they are wanted.
    spare: Option<Arc<SuperBlock>>,
    laid_over: u32,
}

impl Nodes<'_> {
    fn default_devices(&mut self) -> Result<()> {
        for (name, major, minor) in impls::dev::DEFAULT_DEVICES {
            let device = DeviceConfig {
                path: format!("/dev/{name}"),
                kind: 'c',
                major,
                minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
            };
            match self.device(&device) {
                // The host itself cannot write the root: it has what it has.
                Err(Errno::EROFS) => return Ok(()),
                other => other?,
            }
        }
        let dev = self.builder.make_place(self.root, "/dev", true)?;
        for (name, target) in impls::dev::DEFAULT_LINKS {
            let node = NewNode {
                mode: 0o777,
                uid: 0,
                gid: 0,
                rdev: 0,
            };
            let link = dev
                .inode()
                .ops
                .symlink(dev.inode(), name.as_bytes(), target.as_bytes(), &node);
            match link {
                Ok(inode) => {
                    dev.dentry.insert(name.as_bytes(), inode);
                }
                Err(Errno::EEXIST | Errno::EROFS) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Makes a node, or mounts one on what stands there.
    fn device(&mut self, device: &DeviceConfig) -> Result<()> {
        let node = node_of(device)?;
        let (dir, name) = device.path.rsplit_once('/').ok_or(Errno::EINVAL)?;
        match self.builder.lookup(self.root, device.path.as_bytes()) {
            // A directory is left alone, as runc does.
            Ok(there) if there.inode().is_dir() || is_that(there.inode(), &node)? => return Ok(()),
            Ok(there) => return self.lay_over(&there, name, &node),
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(e),
        }
        let dir = self.builder.make_place(self.root, dir, true)?;
        match dir.inode().ops.create(dir.inode(), name.as_bytes(), &node) {
            Ok(inode) => {
                dir.dentry.insert(name.as_bytes(), inode);
                Ok(())
            }
            // A link that leads nowhere.
            Err(Errno::EEXIST) => Ok(()),
            // The host lets no node be made there: in a user namespace, for an ordinary user.
            Err(Errno::EPERM) => {
                let place = self.builder.make_place(self.root, &device.path, false)?;
                self.lay_over(&place, name, &node)
            }
            Err(e) => Err(e),
        }
    }

    fn lay_over(&mut self, place: &Path, name: &str, node: &NewNode) -> Result<()> {
        let sb = match &self.spare {
            Some(sb) => sb.clone(),
            None => self.builder.internal("tmpfs", b"", b"mode=755")?,
        };
        self.spare = Some(sb.clone());
        // Each has a directory of its own there: two may have one name.
        let top = sb.root()?;
        let above = NewNode {
            mode: 0o040_755,
            uid: 0,
            gid: 0,
            rdev: 0,
        };
        self.laid_over = self.laid_over.saturating_add(1);
        let number = self.laid_over.to_string();
        let (mut at, mut dentry) = (top.clone(), Dentry::new_root(top));
        for (name, node) in [(number.as_bytes(), &above), (name.as_bytes(), node)] {
            let inode = at.ops.create(&at, name, node)?;
            dentry = dentry.insert(name, inode.clone());
            at = inode;
        }
        let mount = Mount::new(
            &self.builder.kernel.vfs.mounts,
            sb,
            dentry,
            MountFlags::empty(),
            b"tmpfs",
        );
        tree::attach(&mount, place)
    }
}

fn node_of(device: &DeviceConfig) -> Result<NewNode> {
    let kind = match device.kind {
        'c' | 'u' => FileType::CharDevice,
        'b' => FileType::BlockDevice,
        'p' => FileType::Fifo,
        _ => return Err(Errno::EINVAL),
    };
    Ok(NewNode {
        mode: kind.mode_bits() | (device.mode & 0o7777),
        uid: device.uid,
        gid: device.gid,
        rdev: makedev(device.major, device.minor),
    })
}

/// Whether it is that device already: engines list default devices too, and images have some.
fn is_that(inode: &Arc<Inode>, node: &NewNode) -> Result<bool> {
    let stat = inode.stat()?;
    let kind = FileType::from_mode(node.mode);
    Ok(Some(inode.kind) == kind && (kind == Some(FileType::Fifo) || stat.rdev == node.rdev))
}
