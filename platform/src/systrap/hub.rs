//! The meeting point: notifications come in here and find their thread.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};

use super::births::Birth;
use super::pace::Pace;
use super::process::Process;
use super::thread::Thread;
use super::watchdog::Watchdog;
use crate::Vdso;
use crate::guest::fpu::Layout;
use crate::guest::layout::{HELLO, NR_DOORBELL};
use crate::host::notify::{Answer, Listener, Notification};
use crate::host::process;

/// Nobody waits.
const IDLE: u8 = 0;
/// The leader waits, or is about to.
const PARKED: u8 = 1;
/// The leader is to come back, or not to wait the next time.
const NOTIFIED: u8 = 2;

/// What all parts of one open platform share.
///
/// Lock order: `recv`, then `births` or `threads` or `processes` (never two of them), then a thread's or birth's state.
pub(super) struct Hub {
    pub(super) listener: Listener,
    /// Process group of all guest processes; the zygote's pid.
    pub(super) group: i32,
    pub(super) zygote: Mutex<Weak<super::Zygote>>,
    /// By host thread id. The kernel tells the id with each notification.
    pub(super) threads: Mutex<HashMap<i32, Arc<Thread>>>,
    pub(super) processes: Mutex<HashMap<i32, Arc<Process>>>,
    /// By token.
    pub(super) births: Mutex<HashMap<u64, Arc<Birth>>>,
    /// Processes that died before they said hello.
    pub(super) stillborn: Mutex<HashSet<i32>>,
    pub(super) proc_fd: Option<Arc<OwnedFd>>,
    pub(super) vdso: Option<Vdso>,
    pub(super) fpu: Layout,
    pub(super) no_fsgsbase: bool,
    pub(super) pace: Pace,
    pub(super) watchdog: Watchdog,
    /// Held while receiving: a second receiver could block for a notification that the first takes.
    recv: Mutex<()>,
    /// `IDLE`, `PARKED` or `NOTIFIED`.
    parking: AtomicU8,
    wake: OwnedFd,
}

impl Hub {
    pub(super) fn new(
        listener: Listener,
        group: i32,
        proc_fd: Option<OwnedFd>,
        vdso: Option<Vdso>,
        fpu: Layout,
    ) -> abi::errno::Result<Hub> {
        let wake = rustix::event::eventfd(
            0,
            rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK,
        )
        .map_err(crate::host::errno)?;
        Ok(Hub {
            listener,
            group,
            zygote: Mutex::default(),
            threads: Mutex::default(),
            processes: Mutex::default(),
            births: Mutex::default(),
            stillborn: Mutex::default(),
            proc_fd: proc_fd.map(Arc::new),
            vdso,
            fpu,
            no_fsgsbase: !process::has_fsgsbase(),
            pace: Pace::new(),
            watchdog: Watchdog::default(),
            recv: Mutex::new(()),
            parking: AtomicU8::new(IDLE),
            wake,
        })
    }

    /// Blocks until a future was woken or somebody calls [`Hub::unpark`]; not at all if that was since the last time.
    pub(super) fn wait(&self) -> bool {
        let _receiving = self.recv.lock();
        if self
            .parking
            .compare_exchange(IDLE, PARKED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            self.wait_parked();
        }
        self.parking.store(IDLE, Ordering::SeqCst);
        true
    }

    fn wait_parked(&self) {
        if self.pace.watch(|| self.parking.load(Ordering::Relaxed) == NOTIFIED) {
            return;
        }
        loop {
            let (bell, wake) = self.ready(None);
            if wake {
                let mut count = [0u8; 8];
                let _ = rustix::io::read(&self.wake, &mut count);
            }
            let woken = bell && self.receive();
            if wake || woken {
                return;
            }
        }
    }

    /// Takes what is there.
    pub(super) fn poll(&self) -> bool {
        let Some(_receiving) = self.recv.try_lock() else {
            return false;
        };
        let mut woken = false;
        while self.ready(Some(&rustix::event::Timespec::default())).0 {
            woken |= self.receive();
        }
        woken
    }

    pub(super) fn unpark(&self) {
        if self.parking.swap(NOTIFIED, Ordering::SeqCst) == PARKED {
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    /// Whether the listener and the wake-up have something to read.
    fn ready(&self, timeout: Option<&rustix::event::Timespec>) -> (bool, bool) {
        let mut fds = [
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, timeout) {
            Ok(_) => (
                fds[0].revents().contains(PollFlags::IN),
                fds[1].revents().contains(PollFlags::IN),
            ),
            Err(_) => (false, false),
        }
    }

    /// Takes one notification; true if a future was woken.
    fn receive(&self) -> bool {
        match self.listener.recv() {
            Ok(n) => self.dispatch(n),
            // The thread died, or a signal came.
            Err(_) => false,
        }
    }

    fn dispatch(&self, n: Notification) -> bool {
        let Ok(tid) = i32::try_from(n.tid) else { return false };
        let number = u64::from(n.nr.cast_unsigned());
        let [what, token, ..] = n.args;
        let mut thread = self.threads.lock().get(&tid).cloned();
        if what == HELLO && thread.as_ref().is_some_and(|old| old.has_ended()) {
            // The number of a thread that is no more: this is another.
            thread = None;
        }
        match thread {
            Some(thread) if number == NR_DOORBELL => {
                self.pace.called(&thread);
                thread.rang(n.id)
            }
            Some(thread) if number == u64::from(abi::nr::CLONE) && thread.may_clone(what) => {
                let _ = self.listener.send(n.id, Answer::Continue);
                false
            }
            None if number == NR_DOORBELL && what == HELLO => self.hello(tid, n.id, token),
            // Only guest code that has jumped into the stub gets here.
            Some(thread) => {
                thread.process.host.kill();
                let _ = self.listener.send(n.id, Answer::Fail(Errno::EPERM));
                false
            }
            None => self.refuse(tid, n.id),
        }
    }

    /// A thread that nobody knows: a fork or clone that we let go on, if it knows the token.
    fn hello(&self, tid: i32, id: u64, token: u64) -> bool {
        let birth = self.births.lock().remove(&token);
        match birth {
            Some(birth) => birth.hello(tid, id),
            None => self.refuse(tid, id),
        }
    }

    pub(super) fn refuse(&self, tid: i32, id: u64) -> bool {
        let _ = process::kill(tid, libc::SIGKILL);
        let _ = self.listener.send(id, Answer::Fail(Errno::EPERM));
        false
    }

    /// Ends every guest process.
    pub(super) fn kill_all(&self) {
        // The zygote's death is no accident now.
        *self.zygote.lock() = Weak::new();
        self.watchdog.end();
        let _ = process::kill(-self.group, libc::SIGKILL);
    }
}
