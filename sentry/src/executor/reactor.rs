//! Host events: one epoll with the timerfd, a wake-up eventfd and the host fds that files of the Sentry stand on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use abi::Errno;
use rustix::event::{EventfdFlags, epoll, eventfd};
use slab::Slab;

use super::timers::Timers;
use crate::sync::Mutex;
use crate::wait::{Events, Listener};

pub use rustix::event::epoll::EventFlags as FdEvents;

/// Names a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdKey(usize);

const KICK: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

pub(super) struct Reactor {
    epoll: OwnedFd,
    kick: OwnedFd,
    pub(super) timers: Timers,
    watches: Mutex<Slab<Arc<dyn Listener>>>,
}

fn host(e: rustix::io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}

impl Reactor {
    pub(super) fn new() -> abi::errno::Result<Reactor> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(host)?;
        let kick = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(host)?;
        let timers = Timers::new()?;
        epoll::add(
            &epoll,
            &kick,
            epoll::EventData::new_u64(KICK),
            FdEvents::IN | FdEvents::ET,
        )
        .map_err(host)?;
        epoll::add(
            &epoll,
            &timers.fd,
            epoll::EventData::new_u64(TIMER),
            FdEvents::IN | FdEvents::ET,
        )
        .map_err(host)?;
        Ok(Reactor {
            epoll,
            kick,
            timers,
            watches: Mutex::new(Slab::new()),
        })
    }

    pub(super) fn kick(&self) {
        let _ = rustix::io::write(&self.kick, &1u64.to_ne_bytes());
    }

    pub(super) fn watch(
        &self,
        fd: BorrowedFd<'_>,
        events: FdEvents,
        listener: Arc<dyn Listener>,
    ) -> abi::errno::Result<FdKey> {
        let key = self.watches.lock().insert(listener);
        let data = epoll::EventData::new_u64(abi::conv::usize64(key));
        epoll::add(&self.epoll, fd, data, events | FdEvents::ET).map_err(|e| {
            self.watches.lock().try_remove(key);
            host(e)
        })?;
        Ok(FdKey(key))
    }

    pub(super) fn unwatch(&self, fd: BorrowedFd<'_>, key: FdKey) {
        let _ = epoll::delete(&self.epoll, fd);
        self.watches.lock().try_remove(key.0);
    }

    /// Sleeps until something happens (not at all unless `idle` still holds) and carries it out.
    pub(super) fn wait(&self, idle: impl Fn() -> bool) {
        let mut buf: [std::mem::MaybeUninit<epoll::Event>; 32] = [const { std::mem::MaybeUninit::uninit() }; 32];
        let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if idle() { None } else { Some(&zero) };
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut buf, timeout) else {
            return;
        };
        let mut told = Vec::new();
        for event in events.iter() {
            let data = event.data;
            let flags = event.flags;
            match data.u64() {
                KICK => {
                    let mut count = [0u8; 8];
                    let _ = rustix::io::read(self.kick.as_fd(), &mut count);
                }
                TIMER => {
                    let mut count = [0u8; 8];
                    let _ = rustix::io::read(self.timers.fd.as_fd(), &mut count);
                    self.timers.fire();
                }
                key => {
                    let listener = usize::try_from(key)
                        .ok()
                        .and_then(|k| self.watches.lock().get(k).cloned());
                    if let Some(listener) = listener {
                        told.push((listener, Events::from_bits_truncate(flags.bits())));
                    }
                }
            }
        }
        for (listener, events) in told {
            listener.notify(events);
        }
    }
}
