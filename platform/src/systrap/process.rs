//! A guest process: its channel area, its slots and its memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::conv::{size, usize64};
use abi::regs::PAGE_SIZE;
use parking_lot::{Mutex, RwLock};

use super::hub::Hub;
use super::inflight::Inflight;
use crate::guest::layout::{Control, GUEST_END, SLOT_BYTES, SLOTS, TITLE_BASE, TITLE_BYTES};
use crate::guest::procfs::read_file;
use crate::host::notify::Answer;
use crate::host::shared::SharedMap;
use crate::host::{process, vm};
use crate::{AddressSpace, PageState};

/// A host process that is a guest address space.
pub(super) struct Process {
    pub(super) hub: Weak<Hub>,
    pub(super) pid: i32,
    pub(super) channel: SharedMap,
    pub(super) inflight: Inflight,
    /// False once the process is dead. Held for reading while its number is used, for writing before it is reaped: the number
    /// may be another's after that.
    alive: RwLock<bool>,
    /// Contexts in it.
    contexts: AtomicUsize,
    /// More than one context at some time.
    threaded: AtomicBool,
    slots: Mutex<Slots>,
}

struct Slots {
    /// No higher slot was ever used.
    next: u32,
    /// Slots of retired threads, with their ids: free once the thread is really gone.
    free: VecDeque<(u32, i32)>,
    /// The slot of the thread that the process began with, if not free.
    first: u32,
}

impl Process {
    pub(super) fn new(hub: &Arc<Hub>, pid: i32, channel: SharedMap, slot: u32) -> Arc<Process> {
        Arc::new(Process {
            hub: Arc::downgrade(hub),
            pid,
            channel,
            inflight: Inflight::default(),
            alive: RwLock::new(true),
            contexts: AtomicUsize::new(0),
            threaded: AtomicBool::new(false),
            slots: Mutex::new(Slots {
                next: 0,
                free: VecDeque::new(),
                first: slot,
            }),
        })
    }

    /// Calls with the pid while it is certainly this process's.
    pub(super) fn with_alive<T>(&self, f: impl FnOnce(i32) -> T) -> Option<T> {
        let alive = self.alive.read();
        alive.then(|| f(self.pid))
    }

    /// To be called before the process is reaped.
    pub(super) fn set_dead(&self) {
        *self.alive.write() = false;
    }

    /// Answers a notification of one of its threads.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        if let Some(hub) = self.hub.upgrade() {
            let _ = hub.listener.send(id, answer);
        }
    }

    /// As [`Process::answer`], on another core if there is a free one: this one goes on running.
    pub(super) fn answer_elsewhere(&self, id: u64) {
        if let Some(hub) = self.hub.upgrade() {
            let _ = hub.listener.set_sync_wake_up(false);
            let _ = hub.listener.send(id, Answer::Zero);
            let _ = hub.listener.set_sync_wake_up(true);
        }
    }

    /// A context begins to drive one of its threads.
    pub(super) fn enter(&self) {
        if self.contexts.fetch_add(1, Ordering::AcqRel) > 0 {
            self.threaded.store(true, Ordering::Release);
        }
    }

    /// A context is dropped; true if it was the last.
    pub(super) fn exit(&self) -> bool {
        self.contexts.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether other threads may change this memory too.
    pub(super) fn is_shared(&self) -> bool {
        self.contexts.load(Ordering::Acquire) > 1
    }

    /// Whether the process ever had a second thread: its processor time is then not that of the one it has.
    pub(super) fn was_threaded(&self) -> bool {
        self.threaded.load(Ordering::Acquire)
    }

    /// Answers whose orders the thread in that slot has carried out, as it says.
    pub(super) fn answers_done(&self, slot: u32) -> u64 {
        let base = abi::conv::size(u64::from(slot).saturating_mul(SLOT_BYTES));
        self.channel
            .read_u64(base.saturating_add(std::mem::offset_of!(Control, done)))
    }

    /// A slot that no thread uses.
    pub(super) fn take_slot(&self) -> Option<u32> {
        let mut slots = self.slots.lock();
        if let Some(&(slot, tid)) = slots.free.front() {
            let running = self.with_alive(|pid| process::tgkill(pid, tid, 0).is_ok());
            if running == Some(false) {
                slots.free.pop_front();
                if let Some(hub) = self.hub.upgrade() {
                    hub.threads.lock().remove(&tid);
                }
                return Some(slot);
            }
        }
        if slots.next == slots.first {
            slots.next += 1;
        }
        let slot = slots.next;
        if u64::from(slot) >= SLOTS {
            return None;
        }
        slots.next += 1;
        Some(slot)
    }

    /// A retired thread's slot.
    pub(super) fn give_slot(&self, slot: u32, tid: i32) {
        if tid != self.pid {
            self.slots.lock().free.push_back((slot, tid));
        }
    }

    /// A slot that was never used after all.
    pub(super) fn return_slot(&self, slot: u32) {
        self.slots.lock().free.push_front((slot, i32::MAX));
    }

    pub(super) fn kill(&self) {
        self.with_alive(|pid| process::kill(pid, libc::SIGKILL));
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// How much of `len` bytes at `addr` is in the guest's range: the stub's memory is not guest memory.
fn in_range(addr: u64, len: usize) -> usize {
    let room = GUEST_END.saturating_sub(addr);
    usize::try_from(room).map_or(len, |room| len.min(room))
}

impl AddressSpace for Process {
    fn read(&self, addr: u64, buf: &mut [u8]) -> usize {
        let len = in_range(addr, buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        self.with_alive(|pid| vm::read(pid, addr, buf)).unwrap_or(0)
    }

    fn write(&self, addr: u64, data: &[u8]) -> usize {
        let data = data.get(..in_range(addr, data.len())).unwrap_or_default();
        self.with_alive(|pid| vm::write(pid, addr, data)).unwrap_or(0)
    }

    fn write_force(&self, addr: u64, data: &[u8]) -> usize {
        let data = data.get(..in_range(addr, data.len())).unwrap_or_default();
        let Some(hub) = self.hub.upgrade() else { return 0 };
        let Some(proc_fd) = hub.proc_fd() else {
            return self.write(addr, data);
        };
        self.with_alive(|pid| {
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
            let Ok(mem) = rustix::fs::openat(proc_fd, format!("{pid}/mem"), flags, rustix::fs::Mode::empty()) else {
                return 0;
            };
            let mut done = 0;
            while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
                match rustix::io::pwrite(&mem, rest, addr.saturating_add(usize64(done))) {
                    Ok(n) if n > 0 => done += n,
                    _ => break,
                }
            }
            done
        })
        .unwrap_or(0)
    }

    fn host_pid(&self) -> Option<i32> {
        Some(self.pid)
    }

    fn cpu_time_ns(&self) -> Option<u64> {
        self.with_alive(vm::process_cpu_ns)
    }

    fn usage(&self) -> (u64, u64) {
        let Some(hub) = self.hub.upgrade() else { return (0, 0) };
        let text = hub
            .proc_fd()
            .and_then(|fd| self.with_alive(|pid| read_file(fd, &format!("{pid}/statm"))).flatten());
        let mut pages = text
            .iter()
            .flat_map(|t| t.split_whitespace())
            .map(|n| n.parse::<u64>().unwrap_or(0));
        let (total, resident) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        (resident.saturating_mul(PAGE_SIZE), total.saturating_mul(PAGE_SIZE))
    }

    fn set_title(&self, title: &[u8]) {
        // One string up to the first zero, whatever a longer title left behind it.
        let mut page = title.get(..size(TITLE_BYTES) - 1).unwrap_or(title).to_vec();
        page.push(0);
        self.with_alive(|pid| vm::write(pid, TITLE_BASE, &page));
    }

    fn faults(&self) -> (u64, u64) {
        // `proc(5)`, `/proc/PID/stat`: minflt and majflt, counted from behind the name.
        const MINOR: usize = 7;
        const MAJOR: usize = 9;
        let Some(hub) = self.hub.upgrade() else { return (0, 0) };
        let text = hub
            .proc_fd()
            .and_then(|fd| self.with_alive(|pid| read_file(fd, &format!("{pid}/stat"))).flatten())
            .unwrap_or_default();
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<u64> = rest.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or(0);
        (field(MINOR), field(MAJOR))
    }

    fn resident(&self, addr: u64, pages: usize) -> Option<Vec<PageState>> {
        // `Documentation/admin-guide/mm/pagemap.rst`: eight bytes a page, the top bits of the last one say what it is.
        const PRESENT: u8 = 0x80;
        const FILE_OR_SHARED: u8 = 0x20;
        let hub = self.hub.upgrade()?;
        let proc_fd = hub.proc_fd()?;
        let mut raw = vec![0u8; pages.checked_mul(8)?];
        let got = self.with_alive(|pid| {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
            let map = rustix::fs::openat(proc_fd, format!("{pid}/pagemap"), flags, rustix::fs::Mode::empty()).ok()?;
            rustix::io::pread(&map, &mut raw[..], addr / PAGE_SIZE * 8).ok()
        })??;
        let words = raw.get(..got)?.chunks_exact(8);
        let state = |top: u8| match (top & PRESENT != 0, top & FILE_OR_SHARED != 0) {
            (false, _) => PageState::Absent,
            (true, false) => PageState::Own,
            (true, true) => PageState::Shared,
        };
        Some(words.map(|w| state(w.last().copied().unwrap_or(0))).collect())
    }

    fn kill(&self) {
        Process::kill(self);
    }
}
