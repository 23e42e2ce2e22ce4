//! Bringing up the zygote, by calls that the tracer has it make.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::conv::{size, usize64};
use abi::errno::Result;
use abi::nr;
use abi::regs::PAGE_SIZE;
use rustix::fs::{Mode, OFlags};

use super::context::PtContext;
use super::hub::{Facts, Hub};
use super::image::CALL;
use super::thread::Thread;
use super::tracer::{Gone, Tracer, errno};
use crate::Vdso;
use crate::guest::drive::Driven;
use crate::guest::filter::{self, Kind};
use crate::guest::fpu::Layout;
use crate::guest::layout::{STUB_BASE, STUB_END, TITLE_BASE, TITLE_BYTES, TITLE_PAGE, VDSO_BASE};
use crate::guest::process::HostProcess;
use crate::guest::procfs;
use crate::host::notify::Listener;
use crate::host::ptrace::{self, EVENT_STOP, Go, Status};
use crate::host::{process, vm};

/// More than any floating-point image has.
const MAX_XSTATE: usize = 16 << 10;

/// Starts the zygote on the tracer's own thread; gives its context, stopped.
pub(super) fn start(hub: &Arc<Hub>) -> Result<PtContext> {
    let tracer = hub.tracer().ok_or(Errno::EPERM)?;
    let pid = process::spawn(hub.program.as_fd(), None)?;
    hub.group.store(pid, Ordering::SeqCst);
    let started = bring_up(&tracer, pid);
    if started.is_err() {
        let _ = process::kill(pid, libc::SIGKILL);
        hub.close();
    }
    started
}

fn bring_up(tracer: &Tracer<'_>, pid: i32) -> Result<PtContext> {
    let hub = tracer.hub;
    ptrace::seize(pid)?;
    ptrace::interrupt(pid)?;
    let stack = executed(tracer, pid)?;
    let process = HostProcess::new(pid, hub.proc_fd.clone());
    let zygote = Thread::new(process, pid, Vec::new());
    hub.threads.lock().insert(pid, Arc::clone(&zygote));
    let boot = Boot {
        tracer,
        zygote: &zygote,
        stack,
    };
    let (listener, vdso) = boot.confine()?;
    let mut image = vec![0u8; MAX_XSTATE];
    let xstate_len = ptrace::xstate(pid, &mut image)?;
    image.truncate(xstate_len);
    let fpu = Layout::from_regset(&image).ok_or(Errno::ENOTSUP)?;
    zygote.state.lock().xstate = vec![0; xstate_len];
    prefer_for_oom(hub, pid);
    let facts = Facts {
        listener,
        vdso,
        fpu,
        xstate_len,
    };
    hub.facts.set(facts).map_err(|_| Errno::EBUSY)?;
    let mut context = PtContext::new(hub, zygote, abi::regs::Regs::default(), None);
    context.make_clean();
    Ok(context)
}

/// Waits until the zygote stands in its own text; gives its stack pointer.
fn executed(tracer: &Tracer<'_>, pid: i32) -> Result<u64> {
    loop {
        let status = tracer.wait_alone(pid);
        if status == Status::Ended {
            return Err(Errno::ECHILD);
        }
        let regs = ptrace::regs(pid)?;
        if matches!(status, Status::Event(EVENT_STOP, _)) {
            if (STUB_BASE..=CALL).contains(&regs.rip) {
                return Ok(regs.rsp);
            }
            // Not executed yet: that stops it.
        } else {
            // Still in the call that executed it, whose result is yet to come.
            ptrace::interrupt(pid)?;
        }
        ptrace::resume(pid, Go::Native, 0)?;
    }
}

fn prefer_for_oom(hub: &Hub, pid: i32) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match &hub.proc_fd {
        Some(fd) => procfs::prefer_for_oom(pid, Some(fd)),
        None => procfs::prefer_for_oom(pid, rustix::fs::open("/proc", flags, Mode::empty()).ok().as_ref()),
    }
}

struct Boot<'a> {
    tracer: &'a Tracer<'a>,
    zygote: &'a Thread,
    /// The kernel's initial stack: its use for structures ends when it is unmapped.
    stack: u64,
}

impl Boot<'_> {
    /// A call that must succeed.
    fn call(&self, nr: u32, args: [u64; 6]) -> Result<u64> {
        match self.tracer.call(self.zygote, nr, args) {
            Ok(e) if (-4095..0).contains(&e) => Err(errno(e)),
            Ok(result) => Ok(result.cast_unsigned()),
            Err(Gone) => Err(Errno::ECHILD),
        }
    }

    /// Puts bytes where a call finds them.
    fn put(&self, bytes: &[u8]) -> Result<u64> {
        let at = self.stack.saturating_sub(0x4000) & !15;
        match vm::write(self.zygote.tid, at, bytes) {
            n if n == bytes.len() => Ok(at),
            _ => Err(Errno::EPERM),
        }
    }

    /// Leaves nothing of the kernel's making but the vDSO, and shuts the door.
    fn confine(&self) -> Result<(Listener, Option<Vdso>)> {
        const PR_SET_PDEATHSIG: u64 = 1;
        const PR_SET_NAME: u64 = 15;
        const PR_SET_NO_NEW_PRIVS: u64 = 38;
        const SIGKILL: u64 = 9;
        const RLIMIT_CORE: u64 = 4;
        const LINUX_CAPABILITY_VERSION_3: u64 = 0x2008_0522;
        const REGISTER_GLOBAL_EXPEDITED: u64 = 4;
        const USER_END: u64 = 0x7fff_ffff_f000;
        // Beside the tracer's death, which the kernel turns into theirs.
        self.call(nr::PRCTL, [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0])?;
        let name = self.put(b"guest\0")?;
        self.call(nr::PRCTL, [PR_SET_NAME, name, 0, 0, 0, 0])?;
        // A limit of one keeps a core-dump pipe from being started, where zero would not.
        let no_core = self.put(&[1u64, 1].map(u64::to_le_bytes).concat())?;
        self.call(nr::SETRLIMIT, [RLIMIT_CORE, no_core, 0, 0, 0, 0])?;
        let capabilities = [LINUX_CAPABILITY_VERSION_3, 0, 0, 0].map(u64::to_le_bytes).concat();
        let header = self.put(&capabilities)?;
        self.call(nr::CAPSET, [header, header.saturating_add(8), 0, 0, 0, 0])?;
        // So that the Sentry can serve `membarrier` for all guests; an older kernel goes without.
        let _ = self.call(nr::MEMBARRIER, [REGISTER_GLOBAL_EXPEDITED, 0, 0, 0, 0, 0]);
        self.call(nr::CLOSE_RANGE, [0, u64::from(u32::MAX), 0, 0, 0, 0])?;
        let vdso = self.move_vdso()?;
        self.entitle();
        self.call(nr::PRCTL, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0])?;
        let listener = self.install_filter()?;
        let keep = vdso.map_or([STUB_BASE; 2], |v| [v.vvar, v.base.saturating_add(v.len)]);
        for (from, to) in [(0, STUB_BASE), (STUB_END, USER_END)] {
            // A vDSO that cannot be moved stays.
            let [hole, hole_end] = keep.map(|at| at.clamp(from, to));
            for (from, to) in [(from, hole), (hole_end, to)] {
                if from < to {
                    self.call(nr::MUNMAP, [from, to.saturating_sub(from), 0, 0, 0, 0])?;
                }
            }
        }
        Ok((listener, vdso))
    }

    /// Tells the kernel that the command line is in a page of its own; it reads the page as one string if its first byte is not
    /// zero. Kernels without `CONFIG_CHECKPOINT_RESTORE` refuse, then processes show as `[guest]`.
    fn entitle(&self) {
        const PR_SET_MM: u64 = 35;
        const PR_SET_MM_MAP: u64 = 14;
        const READ_WRITE: u64 = 3;
        const PRIVATE_ANONYMOUS_FIXED: u64 = 0x32;
        const END: u64 = TITLE_BASE + TITLE_BYTES;
        // code, data, heap, stack, arguments, environment, auxiliary vector with its size, program: as the kernel wants them.
        let map: [u64; 13] = [
            TITLE_BASE,
            TITLE_BASE + 1,
            TITLE_BASE,
            TITLE_BASE,
            TITLE_BASE,
            TITLE_BASE,
            TITLE_BASE,
            TITLE_BASE,
            TITLE_BASE + 1,
            TITLE_BASE + 1,
            END,
            0,
            u64::from(u32::MAX) << 32,
        ];
        let page = [
            TITLE_PAGE,
            END - TITLE_PAGE,
            READ_WRITE,
            PRIVATE_ANONYMOUS_FIXED,
            u64::MAX,
            0,
        ];
        if self.call(nr::MMAP, page).is_ok()
            && let Ok(at) = self.put(&map.map(u64::to_le_bytes).concat())
        {
            let _ = self.call(
                nr::PRCTL,
                [PR_SET_MM, PR_SET_MM_MAP, at, usize64(size_of_val(&map)), 0, 0],
            );
        }
    }

    /// A value of the auxiliary vector.
    fn auxiliary(&self, key: u64) -> Option<u64> {
        let mut bytes = vec![0u8; 4096];
        let len = vm::read(self.zygote.tid, self.stack, &mut bytes);
        let words: Vec<u64> = bytes
            .get(..len)?
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
            .collect();
        // argc, argv with its null, envp with its null, then pairs up to AT_NULL.
        let argc = size(*words.first()?);
        let env = words.get(argc.checked_add(2)?..)?;
        let end = env.iter().position(|word| *word == 0)?;
        let auxv = env.get(end.checked_add(1)?..)?.chunks_exact(2);
        auxv.take_while(|pair| pair.first() != Some(&0))
            .find(|pair| pair.first() == Some(&key))
            .and_then(|pair| pair.get(1).copied())
    }

    /// Moves the vDSO and its data pages, several mappings side by side, out of the guest's range. Where the host has sealed
    /// them they stay.
    fn move_vdso(&self) -> Result<Option<Vdso>> {
        const MAYMOVE_FIXED: u64 = 3;
        const FAILED: std::ops::Range<i64> = -4095..0;
        const AT_EXECFN: u64 = 31;
        const AT_SYSINFO_EHDR: u64 = 33;
        let Some(base) = self.auxiliary(AT_SYSINFO_EHDR) else {
            return Ok(None);
        };
        let answer = self.put(&[0])?;
        // What may be its neighbour: the program itself, one page, and, before Linux 6.13 or so, below it the stack, on which the
        // program's name comes last.
        let program = STUB_BASE..STUB_BASE.saturating_add(PAGE_SIZE);
        let name = self.auxiliary(AT_EXECFN).unwrap_or(0);
        let stack_end = (name | PAGE_SIZE.saturating_sub(1)).saturating_add(1);
        let stack = |at: u64| at < stack_end && stack_end <= base;
        let mapped = |at: u64| {
            !program.contains(&at) && !stack(at) && self.call(nr::MINCORE, [at, PAGE_SIZE, answer, 0, 0, 0]).is_ok()
        };
        let (mut from, mut to) = (base, base.saturating_add(PAGE_SIZE));
        while mapped(from.saturating_sub(PAGE_SIZE)) {
            from = from.saturating_sub(PAGE_SIZE);
        }
        while mapped(to) {
            to = to.saturating_add(PAGE_SIZE);
        }
        let there = |base: u64, vvar: u64| Vdso {
            base,
            len: to.saturating_sub(from).saturating_sub(base.saturating_sub(vvar)),
            vvar,
            vvar_len: base.saturating_sub(vvar),
        };
        let mut at = from;
        while at < to {
            // A mapping moves as a whole only, and most kernels move one at a time: the longest that goes is the next one.
            let new = VDSO_BASE.saturating_add(at.saturating_sub(from));
            let mut len = to.saturating_sub(at);
            while len > 0 {
                let moved = self
                    .tracer
                    .call(self.zygote, nr::MREMAP, [at, len, len, MAYMOVE_FIXED, new, 0]);
                match moved.map_err(|Gone| Errno::ECHILD)? {
                    e if FAILED.contains(&e) => len = len.saturating_sub(PAGE_SIZE),
                    _ => break,
                }
            }
            if len == 0 {
                return Ok(Some(there(base, from)));
            }
            at = at.saturating_add(len);
        }
        let new = VDSO_BASE.saturating_add(base.saturating_sub(from));
        Ok(Some(there(new, VDSO_BASE)))
    }

    /// The filter, with a listener by which files are put into guest processes.
    fn install_filter(&self) -> Result<Listener> {
        const SECCOMP_SET_MODE_FILTER: u64 = 1;
        const NEW_LISTENER: u64 = 1 << 3;
        const WAIT_KILLABLE_RECV: u64 = 1 << 5;
        let program = filter::program(Kind::Tracees);
        // `struct sock_fprog`, then the program.
        let at = self.put(&[0; 16])?;
        let text: Vec<u64> = [usize64(program.len()), at.saturating_add(16)]
            .into_iter()
            .chain(program)
            .collect();
        self.put(&text.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())?;
        let install = |flags| self.call(nr::SECCOMP, [SECCOMP_SET_MODE_FILTER, flags, at, 0, 0, 0]);
        let number = match install(NEW_LISTENER | WAIT_KILLABLE_RECV) {
            // Linux 5.19 brought the second flag.
            Err(Errno::EINVAL) => install(NEW_LISTENER)?,
            other => other?,
        };
        let pidfd = process::pidfd_open(self.zygote.tid)?;
        let fd = process::pidfd_getfd(pidfd.as_fd(), i32::try_from(number).map_err(|_| Errno::EBADF)?)?;
        self.call(nr::CLOSE, [number, 0, 0, 0, 0, 0])?;
        let listener = Listener::new(fd);
        // Linux 6.6; without it a hand-over costs more.
        let _ = listener.set_sync_wake_up(true);
        Ok(listener)
    }
}
