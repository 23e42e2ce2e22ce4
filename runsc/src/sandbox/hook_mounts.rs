//! What hooks mount into the container's root before there is one.
//!
//! `prestart` and `createRuntime` hooks enter the mount namespace of the pid that they are told, `createContainer` hooks are
//! run in it. While they run it is the Gofer's, and nothing of either process has begun. What is mounted beneath the root
//! afterwards is served by the Gofer, and the guest's kernel mounts it after the mounts of config.json, as if these had been
//! made before.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::CloneFlags;
use platform::host::mount::make_private;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use sentry::boot::config::{MountConfig, MountKind};

use super::{gofer, jail};
use crate::config::{GoferMount, HostMounts, Plan};
use crate::error::{Context, Error, Result};
use crate::namespace::{self, in_namespace};

/// More are seen by the guest as parts of its root.
const MOST: usize = 200;

/// Most bytes of a message.
const MAX_TEXT: usize = 1 << 20;

/// Where hooks mount.
pub struct HookPlace {
    namespace: File,
    /// Numbers of the mounts that were there before.
    before: BTreeSet<u64>,
    /// The Gofer's other end.
    later: OwnedFd,
}

/// Ours and the Gofer's.
pub fn channel() -> Result<(OwnedFd, OwnedFd)> {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
    rustix::net::socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None).context(|| "socket pair")
}

impl HookPlace {
    /// The namespace of a Gofer that is held.
    pub fn of(gofer: i32, rootfs: &Path, later: OwnedFd) -> Result<Self> {
        let mut place = Self {
            namespace: namespace::open(gofer, "mnt")?,
            before: BTreeSet::new(),
            later,
        };
        place.before = place.within(|| {
            // What a hook mounts must not come back to the host.
            jail::slave_mounts()?;
            Ok(HostMounts::default().all_beneath(rootfs).iter().map(|m| m.id).collect())
        })?;
        Ok(place)
    }

    /// Does something in the namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let what = || "enter the container's mount namespace".to_owned();
        in_namespace(&self.namespace, CloneFlags::CLONE_NEWNS, what, work)
    }

    /// Gives the Gofer what was mounted and puts it into the plan; gives a second copy of each, for the view.
    pub fn hand_over(self, plan: &mut Plan) -> Result<Vec<(MountConfig, OwnedFd)>> {
        let rootfs = plan.rootfs.clone();
        let mut found = self.within(|| {
            let all = HostMounts::default().all_beneath(&rootfs);
            let new = all
                .into_iter()
                .filter(|mount| !self.before.contains(&mount.id))
                .take(MOST);
            new.map(|mount| {
                let gofer = GoferMount::alone(mount.path, mount.flags);
                let trees = [gofer::detached(&gofer)?, gofer::detached(&gofer)?];
                for tree in &trees {
                    make_private(tree.as_fd()).context(|| format!("mount {}", gofer.source.display()))?;
                }
                let config = MountConfig {
                    destination: format!("/{}", mount.relative),
                    kind: MountKind::Bind {
                        gofer_mount: 0,
                        file: mount.file,
                    },
                    source: gofer.source.to_string_lossy().into_owned(),
                    data: Vec::new(),
                    flags: mount.flags,
                    propagation: 0,
                };
                Ok((config, gofer, trees))
            })
            .collect::<Result<Vec<_>>>()
        })?;
        let mut for_view = Vec::new();
        let (mut list, mut trees) = (Vec::new(), Vec::new());
        for (mut config, gofer, [tree, second]) in found.drain(..) {
            if let MountKind::Bind { gofer_mount, .. } = &mut config.kind {
                *gofer_mount = u32::try_from(plan.gofer.len()).unwrap_or(u32::MAX);
            }
            list.push(gofer.clone());
            trees.push(tree);
            plan.gofer.push(gofer);
            plan.container.mounts.push(config.clone());
            for_view.push((config, second));
        }
        self.send(&list, &trees)?;
        Ok(for_view)
    }

    fn send(&self, list: &[GoferMount], trees: &[OwnedFd]) -> Result<()> {
        let what = || "tell the gofer what hooks mounted";
        let text = serde_json::to_vec(list).context(what)?;
        let trees: Vec<BorrowedFd<'_>> = trees.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !trees.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&trees)) {
            return Err(Error::new("too many").context(what()));
        }
        rustix::net::sendmsg(&self.later, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)
            .map(drop)
            .context(what)
    }
}

/// The Gofer's side: the mounts with their trees.
pub fn receive(later: &OwnedFd) -> Result<Vec<(OwnedFd, GoferMount)>> {
    let what = || "hear what hooks mounted";
    let mut text = vec![0; MAX_TEXT];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(
        later,
        &mut [IoSliceMut::new(&mut text)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .context(what)?;
    let trees = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
        _ => Vec::new(),
    });
    let list: Vec<GoferMount> = serde_json::from_slice(text.get(..got.bytes).unwrap_or_default()).context(what)?;
    let both: Vec<_> = trees.zip(list.iter().cloned()).collect();
    if both.len() != list.len() {
        return Err(Error::new("descriptors are missing").context(what()));
    }
    Ok(both)
}
