//! The host process that is a guest address space.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use abi::Errno;
use abi::conv::{size, usize64};
use abi::errno::Result;
use abi::regs::PAGE_SIZE;
use parking_lot::RwLock;

use super::inflight::Inflight;
use super::layout::{GUEST_END, NAME_BYTES, TITLE_BYTES, TITLE_PAGE};
use super::procfs::read_file;
use crate::host::{process, vm};
use crate::{AddressSpace, PageState, Vdso};

/// More than any vDSO has.
const MAX_VDSO: u64 = 64 << 10;

/// A guest process as the host sees it: its number, whether it is alive, its memory.
pub(crate) struct HostProcess {
    pub(crate) pid: i32,
    /// Changes that its threads have yet to carry out.
    pub(crate) inflight: Inflight,
    proc_fd: Option<Arc<OwnedFd>>,
    /// False once the process is dead. Held for reading while its number is used, for writing before it is reaped: the number
    /// may be another's after that.
    alive: RwLock<bool>,
    /// Contexts in it.
    contexts: AtomicUsize,
    /// More than one context at some time.
    threaded: AtomicBool,
}

impl HostProcess {
    /// `proc_fd`: the procfs that the platform was given.
    pub(crate) fn new(pid: i32, proc_fd: Option<Arc<OwnedFd>>) -> Arc<HostProcess> {
        Arc::new(HostProcess {
            pid,
            inflight: Inflight::default(),
            proc_fd,
            alive: RwLock::new(true),
            contexts: AtomicUsize::new(0),
            threaded: AtomicBool::new(false),
        })
    }

    /// Calls with the pid while it is certainly this process's.
    pub(crate) fn with_alive<T>(&self, f: impl FnOnce(i32) -> T) -> Option<T> {
        let alive = self.alive.read();
        alive.then(|| f(self.pid))
    }

    /// To be called before the process is reaped.
    pub(crate) fn set_dead(&self) {
        *self.alive.write() = false;
    }

    /// A context begins to drive one of its threads.
    pub(crate) fn enter(&self) {
        if self.contexts.fetch_add(1, Ordering::AcqRel) > 0 {
            self.threaded.store(true, Ordering::Release);
        }
    }

    /// A context is dropped; true if it was the last.
    pub(crate) fn exit(&self) -> bool {
        self.contexts.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether other threads may change this memory too.
    pub(crate) fn is_shared(&self) -> bool {
        self.contexts.load(Ordering::Acquire) > 1
    }

    /// It is about to have a second thread.
    pub(crate) fn set_threaded(&self) {
        self.threaded.store(true, Ordering::Release);
    }

    /// Whether it ever had a second thread.
    pub(crate) fn was_threaded(&self) -> bool {
        self.threaded.load(Ordering::Acquire)
    }

    pub(crate) fn kill(&self) {
        self.with_alive(|pid| process::kill(pid, libc::SIGKILL));
    }

    /// Processor time of one of its threads. A process that never had a second thread is asked as a whole, which is
    /// cheaper, and so is one whose threads the host does not tell apart.
    pub(crate) fn thread_cpu_ns(&self, tid: i32) -> u64 {
        let of_thread = || {
            let path = format!("{}/task/{tid}/schedstat", self.pid);
            let text = self.with_alive(|_| read_file(self.proc_fd()?, &path)).flatten()?;
            text.split_whitespace().next()?.parse().ok()
        };
        let of_process = || self.with_alive(vm::process_cpu_ns).unwrap_or(0);
        if self.was_threaded() {
            of_thread().unwrap_or_else(of_process)
        } else {
            of_process()
        }
    }

    /// Writes wherever something is mapped, whatever its protection; gives how much.
    fn poke(&self, addr: u64, data: &[u8]) -> usize {
        let Some(proc_fd) = self.proc_fd() else {
            return self.with_alive(|pid| vm::write(pid, addr, data)).unwrap_or(0);
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

    fn proc_fd(&self) -> Option<BorrowedFd<'_>> {
        self.proc_fd.as_ref().map(|fd| fd.as_fd())
    }
}

impl fmt::Debug for HostProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostProcess")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// How much of `len` bytes at `addr` is in the guest's range: the stub's memory is not guest memory.
fn in_range(addr: u64, len: usize) -> usize {
    let room = GUEST_END.saturating_sub(addr);
    usize::try_from(room).map_or(len, |room| len.min(room))
}

/// A name as Linux has it, with a zero at its end.
fn padded(name: &[u8]) -> [u8; size(NAME_BYTES)] {
    let mut bytes = [0; size(NAME_BYTES)];
    let room = bytes.split_last_mut().map(|(_, room)| room).unwrap_or_default();
    for (to, from) in room.iter_mut().zip(name) {
        *to = *from;
    }
    bytes
}

impl AddressSpace for HostProcess {
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
        self.poke(addr, data.get(..in_range(addr, data.len())).unwrap_or_default())
    }

    fn divert_clocks(&self, vdso: &Vdso) -> Result<()> {
        let mut image = vec![0; size(vdso.len.min(MAX_VDSO))];
        let got = self.with_alive(|pid| vm::read(pid, vdso.base, &mut image));
        let image = image.get(..got.ok_or(Errno::ESRCH)?).unwrap_or_default();
        let function = super::vdso::clock_gettime(image).ok_or(Errno::ENOTSUP)?;
        match self.poke(vdso.base.saturating_add(function), &super::vdso::ASK) {
            n if n == super::vdso::ASK.len() => Ok(()),
            _ => Err(Errno::EIO),
        }
    }

    fn host_pid(&self) -> Option<i32> {
        Some(self.pid)
    }

    fn cpu_time_ns(&self) -> Option<u64> {
        self.with_alive(vm::process_cpu_ns)
    }

    fn usage(&self) -> (u64, u64) {
        let text = self
            .proc_fd()
            .and_then(|fd| self.with_alive(|pid| read_file(fd, &format!("{pid}/statm"))).flatten());
        let mut pages = text
            .iter()
            .flat_map(|t| t.split_whitespace())
            .map(|n| n.parse::<u64>().unwrap_or(0));
        let (total, resident) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        (resident.saturating_mul(PAGE_SIZE), total.saturating_mul(PAGE_SIZE))
    }

    fn is_alive(&self) -> bool {
        // The title is mapped for as long as there is memory, and the reaper may not have come by yet.
        let mut byte = [0];
        self.with_alive(|pid| vm::read(pid, TITLE_PAGE, &mut byte)) == Some(1)
    }

    fn set_title(&self, name: &[u8], title: &[u8]) {
        let mut page = padded(name).to_vec();
        // One string up to the first zero, whatever a longer title left behind it.
        page.extend(title.get(..size(TITLE_BYTES) - 1).unwrap_or(title));
        page.push(0);
        self.with_alive(|pid| vm::write(pid, TITLE_PAGE, &page));
    }

    fn set_name(&self, name: &[u8]) {
        self.with_alive(|pid| vm::write(pid, TITLE_PAGE, &padded(name)));
    }

    fn faults(&self) -> (u64, u64) {
        // `proc(5)`, `/proc/PID/stat`: minflt and majflt, counted from behind the name.
        const MINOR: usize = 7;
        const MAJOR: usize = 9;
        let text = self
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
        let proc_fd = self.proc_fd()?;
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
        HostProcess::kill(self);
    }
}
