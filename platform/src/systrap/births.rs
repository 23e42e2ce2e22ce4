//! Forks and clones that are under way.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::Waker;

use abi::Errno;
use abi::errno::Result;
use parking_lot::Mutex;

use super::hub::Hub;
use super::process::Process;
use super::thread::Thread;
use crate::guest::image;
use crate::host::process;
use crate::host::shared::SharedMap;

/// One thread or process that was ordered and has not said hello yet. Its token is known to the parent's process only,
/// and honoured only from a thread that no other order has explained.
pub(super) struct Birth {
    hub: Weak<Hub>,
    pub(super) token: u64,
    kind: Kind,
    state: Mutex<State>,
}

enum Kind {
    Process {
        slot: u32,
        fd: OwnedFd,
        channel: Mutex<Option<SharedMap>>,
    },
    Thread {
        process: Arc<Process>,
        slot: u32,
    },
}

#[derive(Default)]
struct State {
    child: Option<Arc<Thread>>,
    waker: Option<Waker>,
}

impl Birth {
    /// A host fork of a thread in that slot.
    pub(super) fn process(hub: &Arc<Hub>, slot: u32) -> Result<Arc<Birth>> {
        let fd = image::channel()?;
        let channel = SharedMap::new(&fd, image::channel_len())?;
        Birth::new(
            hub,
            Kind::Process {
                slot,
                fd,
                channel: Mutex::new(Some(channel)),
            },
        )
    }

    /// A thread for that slot.
    pub(super) fn thread(hub: &Arc<Hub>, process: &Arc<Process>, slot: u32) -> Result<Arc<Birth>> {
        Birth::new(
            hub,
            Kind::Thread {
                process: Arc::clone(process),
                slot,
            },
        )
    }

    fn new(hub: &Arc<Hub>, kind: Kind) -> Result<Arc<Birth>> {
        let mut token = [0u8; 8];
        rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty()).map_err(crate::host::errno)?;
        let token = u64::from_ne_bytes(token);
        let birth = Arc::new(Birth {
            hub: Arc::downgrade(hub),
            token,
            kind,
            state: Mutex::default(),
        });
        hub.births.lock().insert(token, Arc::clone(&birth));
        Ok(birth)
    }

    /// The newcomer's first call. It waits in its notification.
    pub(super) fn hello(self: &Arc<Birth>, tid: i32, id: u64) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        let Some(thread) = self.adopt(&hub, tid) else {
            return hub.refuse(tid, id);
        };
        self.state.lock().child = Some(Arc::clone(&thread));
        hub.threads.lock().insert(tid, Arc::clone(&thread));
        if thread.process.host.with_alive(|_| ()).is_none() {
            // Buried in the meantime, without this thread.
            thread.set_gone();
        }
        match &self.kind {
            // It maps its channel and rings.
            Kind::Process { fd, .. } => {
                if hub.listener.add_fd_and_send(id, fd.as_fd()).is_err() {
                    thread.process.host.kill();
                }
                false
            }
            // Its request is in its channel already.
            Kind::Thread { .. } => thread.rang(id) | self.wake(),
        }
    }

    fn adopt(self: &Arc<Birth>, hub: &Arc<Hub>, tid: i32) -> Option<Arc<Thread>> {
        match &self.kind {
            Kind::Process { slot, channel, .. } => {
                // Only the leader of a thread group has a pidfd: a thread cannot pose as a process.
                process::pidfd_open(tid).ok()?;
                let process = Process::new(hub, tid, channel.lock().take()?, *slot);
                hub.processes.lock().insert(tid, Arc::clone(&process));
                Some(Thread::new(process, *slot, tid, Some(Arc::clone(self))))
            }
            Kind::Thread { process, slot } => {
                // Nor a process as a thread.
                process::tgkill(process.host.pid, tid, 0).ok()?;
                Some(Thread::new(Arc::clone(process), *slot, tid, Some(Arc::clone(self))))
            }
        }
    }

    /// The child's slot.
    pub(super) fn slot(&self) -> u32 {
        match &self.kind {
            Kind::Process { slot, .. } | Kind::Thread { slot, .. } => *slot,
        }
    }

    /// The child, once it is there.
    pub(super) fn child(&self) -> Option<Arc<Thread>> {
        self.state.lock().child.clone()
    }

    pub(super) fn set_waker(&self, waker: &Waker) {
        self.state.lock().waker = Some(waker.clone());
    }

    pub(super) fn wake(&self) -> bool {
        let waker = self.state.lock().waker.take();
        waker.map(Waker::wake).is_some()
    }

    /// Nobody will come.
    pub(super) fn cancel(&self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.births.lock().remove(&self.token);
        }
        if let Kind::Thread { process, slot } = &self.kind {
            process.return_slot(*slot);
        }
    }

    pub(super) fn dead_before_hello(&self, pid: i32) -> bool {
        self.hub.upgrade().is_none_or(|hub| hub.stillborn.lock().remove(&pid)) && self.child().is_none()
    }

    /// What a failed birth means to its parent.
    pub(super) const FAILED: Errno = Errno::EAGAIN;
}
