//! What only the tracer's thread can do: look at stopped threads, have them make calls, let them go on.

use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::sync::Arc;

use abi::Errno;
use abi::conv::low32;
use abi::regs::{Regs, USER_CS, USER_DS};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::hub::Hub;
use super::image::{CALL, CALL_END, CMPXCHG, CMPXCHG_END};
use super::thread::{Reply, Thread};
use crate::FaultInfo;
use crate::guest::drive::Stop;
use crate::guest::layout::{NR_DOORBELL, SIG_INTERRUPT};
use crate::guest::process::HostProcess;
use crate::host::notify::Answer;
use crate::host::ptrace::{self, EVENT_STOP, Go, Status};

const ARCH_X86_64: u32 = 0xc000_003e;
/// Interrupts on, and the bit that is always set.
const EFLAGS: u64 = 0x202;

/// The hub on the tracer's own thread.
pub(super) struct Tracer<'a> {
    pub(super) hub: &'a Arc<Hub>,
    /// Not to be sent to another thread.
    here: PhantomData<*const ()>,
}

/// The thread is no more.
#[derive(Debug)]
pub(super) struct Gone;

/// How native execution ended.
struct Native {
    signo: i32,
    /// A thread or process that it made.
    born: Option<i32>,
}

impl<'a> Tracer<'a> {
    /// For [`Hub::tracer`].
    pub(super) fn new(hub: &'a Arc<Hub>) -> Tracer<'a> {
        Tracer { hub, here: PhantomData }
    }

    /// Something has become of a thread; true if a future was woken.
    pub(super) fn dispatch(&self, tid: i32, status: Status) -> bool {
        if status == Status::Ended {
            return self.hub.ended(tid);
        }
        let Some(thread) = self.hub.thread(tid) else {
            // Nobody that was ordered.
            let _ = crate::host::process::kill(tid, libc::SIGKILL);
            return false;
        };
        match status {
            Status::Ended => false,
            Status::Syscall => self.stopped(&thread, Stop::Syscall, false),
            // The kernel's own emulation of the legacy vsyscall page asks only the filter.
            Status::Signal(libc::SIGSYS) => self.stopped(&thread, Stop::Syscall, true),
            Status::Signal(SIG_INTERRUPT) => self.stopped(&thread, Stop::Interrupt, false),
            Status::Signal(signo) => match fault(tid, signo) {
                Some(info) => self.stopped(&thread, Stop::Fault(info), false),
                // From outside.
                None => self.go_on(tid, Go::Emulate, signo),
            },
            Status::Event(EVENT_STOP, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                self.go_on(tid, Go::Listen, 0)
            }
            Status::Event(EVENT_STOP, _) => self.go_on(tid, Go::Emulate, 0),
            // A fork that nobody ordered.
            Status::Event(..) => {
                thread.process.kill();
                false
            }
        }
    }

    fn go_on(&self, tid: i32, go: Go, signo: i32) -> bool {
        // It fails only for one that is being killed.
        let _ = ptrace::resume(tid, go, signo);
        false
    }

    /// Guest code has stopped; true if a future was woken. A call is `emulated` where the host has returned from it already.
    fn stopped(&self, thread: &Arc<Thread>, mut stop: Stop, emulated: bool) -> bool {
        // An error: it is being killed, and its end will be told.
        let Ok(mut regs) = ptrace::regs(thread.tid) else {
            return false;
        };
        match stop {
            Stop::Syscall if emulated => regs.orig_rax = regs.rax,
            Stop::Syscall if is_foreign(thread.tid, &regs) => {
                // `int 0x80`: as on a kernel without 32-bit emulation, a general protection fault at the instruction.
                regs.rax = regs.orig_rax;
                regs.rip = regs.rip.wrapping_sub(2);
                regs.orig_rax = u64::MAX;
                stop = Stop::Fault(FaultInfo {
                    signo: libc::SIGSEGV,
                    code: 128,
                    trapno: 13,
                    err: 0x80 * 8 + 2,
                    ..FaultInfo::default()
                });
            }
            Stop::Syscall => regs.rax = regs.orig_rax,
            Stop::Fault(_) | Stop::Interrupt => regs.orig_rax = u64::MAX,
        }
        self.hub.set_running(thread.tid, false);
        let mut state = thread.state.lock();
        state.running = false;
        let _ = ptrace::xstate(thread.tid, &mut state.xstate);
        drop(state);
        if thread.is_retired() {
            self.end(thread);
            return false;
        }
        thread.reply(Reply::Stopped(stop, regs))
    }

    /// Waits for one thread that is not running guest code.
    pub(super) fn wait_for(&self, thread: &Thread) -> Status {
        if thread.leads() && thread.process.was_threaded() {
            return self.wait_among_others(thread.tid);
        }
        self.wait_alone(thread.tid)
    }

    /// Waits for a thread that is not the leader of others.
    pub(super) fn wait_alone(&self, tid: i32) -> Status {
        if let Some(status) = self.take_deferred(tid) {
            return status;
        }
        loop {
            match ptrace::wait(tid, true) {
                Ok(Some((_, status))) => return status,
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => return Status::Ended,
            }
        }
    }

    /// Waits for a thread. What becomes of others meanwhile is kept for later, but for their ends: a process's leader is
    /// told of only after all others.
    fn wait_among_others(&self, tid: i32) -> Status {
        if let Some(status) = self.take_deferred(tid) {
            return status;
        }
        loop {
            match ptrace::wait(-1, true) {
                Ok(Some((who, status))) if who == tid => return status,
                Ok(Some((who, status))) => self.defer(who, status),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => return Status::Ended,
            }
        }
    }

    fn take_deferred(&self, tid: i32) -> Option<Status> {
        let mut deferred = self.hub.deferred.lock();
        let at = deferred.iter().position(|(who, _)| *who == tid)?;
        deferred.remove(at).map(|(_, status)| status)
    }

    fn defer(&self, tid: i32, status: Status) {
        if status == Status::Ended {
            self.hub.ended(tid);
        } else {
            self.hub.deferred.lock().push_back((tid, status));
        }
    }

    /// Attends to what came while another thread was waited for; true if a future was woken.
    pub(super) fn serve_deferred(&self) -> bool {
        let mut woken = false;
        loop {
            let next = self.hub.deferred.lock().pop_front();
            let Some((tid, status)) = next else { return woken };
            woken |= self.dispatch(tid, status);
        }
    }

    /// Lets a thread run natively from those registers until it traps.
    fn native(&self, thread: &Thread, regs: &Regs) -> Result<Native, Gone> {
        let _ = ptrace::set_regs(thread.tid, regs);
        let _ = ptrace::resume(thread.tid, Go::Native, 0);
        self.until_trap(thread)
    }

    fn until_trap(&self, thread: &Thread) -> Result<Native, Gone> {
        let mut born = None;
        loop {
            let signo = match self.wait_for(thread) {
                Status::Ended => {
                    self.hub.ended(thread.tid);
                    return Err(Gone);
                }
                Status::Signal(
                    signo @ (libc::SIGTRAP | libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGSYS | libc::SIGFPE),
                ) => return Ok(Native { signo, born }),
                Status::Signal(SIG_INTERRUPT) => {
                    thread.state.lock().interrupted = true;
                    0
                }
                Status::Signal(signo) => signo,
                Status::Event(EVENT_STOP, _) | Status::Syscall => 0,
                Status::Event(..) => {
                    born = ptrace::event_message(thread.tid)
                        .ok()
                        .and_then(|tid| i32::try_from(tid).ok());
                    0
                }
            };
            let _ = ptrace::resume(thread.tid, Go::Native, signo);
        }
    }

    /// Has a stopped thread make one system call; its result.
    pub(super) fn call(&self, thread: &Thread, nr: u32, args: [u64; 6]) -> Result<i64, Gone> {
        self.call_with(thread, nr, args).map(|(result, _)| result)
    }

    /// The same, and whom it made.
    fn call_with(&self, thread: &Thread, nr: u32, args: [u64; 6]) -> Result<(i64, Option<i32>), Gone> {
        let native = self.native(thread, &call_regs(nr, args))?;
        Ok((self.result(thread, native.signo)?, native.born))
    }

    /// The result of a call that ended with that signal.
    fn result(&self, thread: &Thread, signo: i32) -> Result<i64, Gone> {
        match ptrace::regs(thread.tid) {
            Ok(regs) if signo == libc::SIGTRAP && regs.rip == CALL_END => Ok(regs.rax.cast_signed()),
            // Being killed; or not what we wrote, which cannot be.
            _ => {
                thread.process.kill();
                self.await_end(thread);
                Err(Gone)
            }
        }
    }

    fn await_end(&self, thread: &Thread) {
        while self.wait_for(thread) != Status::Ended {
            let _ = ptrace::resume(thread.tid, Go::Native, 0);
        }
        self.hub.ended(thread.tid);
    }

    /// Puts a file into a process; its number there. The thread makes a call that only the Sentry answers.
    pub(super) fn lend(&self, thread: &Thread, file: &impl AsFd) -> Result<Result<u64, Errno>, Gone> {
        let Some(facts) = self.hub.facts.get() else {
            return Ok(Err(Errno::EAGAIN));
        };
        let listener = &facts.listener;
        let _ = ptrace::set_regs(thread.tid, &call_regs(low32(NR_DOORBELL), [0; 6]));
        let _ = ptrace::resume(thread.tid, Go::Native, 0);
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        };
        let mut refused = None;
        loop {
            let mut fds = [PollFd::new(listener, PollFlags::IN)];
            if poll(&mut fds, Some(&patience)).is_ok_and(|n| n > 0) {
                match listener.recv() {
                    Ok(n) if i32::try_from(n.tid) == Ok(thread.tid) => {
                        if let Err(errno) = listener.add_fd_and_send(n.id, file.as_fd()) {
                            refused = Some(errno);
                            let _ = listener.send(n.id, Answer::Fail(errno));
                        }
                        break;
                    }
                    Ok(n) => drop(listener.send(n.id, Answer::Fail(Errno::EPERM))),
                    Err(_) => {}
                }
                continue;
            }
            // It has stopped for a signal first, or died.
            while let Ok(Some((who, status))) = ptrace::wait(-1, false) {
                if who != thread.tid {
                    self.defer(who, status);
                    continue;
                }
                match status {
                    Status::Ended => {
                        self.hub.ended(thread.tid);
                        return Err(Gone);
                    }
                    Status::Signal(libc::SIGTRAP) => return Ok(Err(Errno::EAGAIN)),
                    Status::Signal(SIG_INTERRUPT) => {
                        thread.state.lock().interrupted = true;
                        let _ = ptrace::resume(thread.tid, Go::Native, 0);
                    }
                    Status::Signal(signo) => drop(ptrace::resume(thread.tid, Go::Native, signo)),
                    _ => drop(ptrace::resume(thread.tid, Go::Native, 0)),
                }
            }
        }
        let native = self.until_trap(thread)?;
        let result = self.result(thread, native.signo)?;
        Ok(match (refused, u64::try_from(result)) {
            (Some(errno), _) => Err(errno),
            (None, Ok(fd)) => Ok(fd),
            (None, Err(_)) => Err(errno(result)),
        })
    }

    /// A fork or a thread; it is stopped before it has run anything.
    pub(super) fn bear(&self, thread: &Thread, flags: u64) -> Result<Result<Arc<Thread>, Errno>, Gone> {
        let joins = flags & u64::from(libc::CLONE_VM.unsigned_abs()) != 0;
        if joins {
            thread.process.set_threaded();
        }
        let (result, born) = self.call_with(thread, abi::nr::CLONE, [flags, 0, 0, 0, 0, 0])?;
        let Some(tid) = born else {
            return Ok(Err(errno(result)));
        };
        let process = if joins {
            Arc::clone(&thread.process)
        } else {
            HostProcess::new(tid, self.hub.proc_fd.clone())
        };
        let len = self.hub.facts.get().map_or(0, |facts| facts.xstate_len);
        let child = Thread::new(process, tid, vec![0; len]);
        self.hub.threads.lock().insert(tid, Arc::clone(&child));
        loop {
            match self.wait_alone(tid) {
                Status::Ended => {
                    self.hub.ended(tid);
                    return Ok(Err(Errno::EAGAIN));
                }
                Status::Event(EVENT_STOP, _) => return Ok(Ok(child)),
                _ => drop(ptrace::resume(tid, Go::Native, 0)),
            }
        }
    }

    /// Compares and exchanges; none after a fault.
    pub(super) fn cmpxchg(&self, thread: &Thread, addr: u64, old: u32, new: u32) -> Result<Option<u32>, Gone> {
        let regs = Regs {
            rip: CMPXCHG,
            rdi: addr,
            rax: u64::from(old),
            rdx: u64::from(new),
            ..call_regs(0, [0; 6])
        };
        let native = self.native(thread, &regs)?;
        let after = ptrace::regs(thread.tid)
            .map_err(|_| self.await_end(thread))
            .map_err(|()| Gone)?;
        Ok((native.signo == libc::SIGTRAP && after.rip == CMPXCHG_END).then_some(low32(after.rax)))
    }

    /// Ends a stopped thread that nobody drives. A leader stays as it is.
    pub(super) fn end(&self, thread: &Thread) {
        if !thread.leads() {
            let _ = ptrace::set_regs(thread.tid, &call_regs(abi::nr::EXIT, [0; 6]));
            let _ = ptrace::resume(thread.tid, Go::Native, 0);
        }
    }
}

/// Registers for one system call in the stub's text.
fn call_regs(nr: u32, args: [u64; 6]) -> Regs {
    let [rdi, rsi, rdx, r10, r8, r9] = args;
    Regs {
        rip: CALL,
        rax: u64::from(nr),
        rdi,
        rsi,
        rdx,
        r10,
        r8,
        r9,
        cs: USER_CS,
        ss: USER_DS,
        eflags: EFLAGS,
        orig_rax: u64::MAX,
        ..Regs::default()
    }
}

/// The error that a system call gave.
pub(super) fn errno(result: i64) -> Errno {
    i32::try_from(result.saturating_neg()).map_or(Errno::EIO, Errno::from_raw)
}

/// Whether a system call was not made by `syscall`, which leaves its own address and the flags in two registers.
fn is_foreign(tid: i32, regs: &Regs) -> bool {
    (regs.rcx != regs.rip || regs.r11 != regs.eflags)
        && ptrace::syscall_arch(tid).is_ok_and(|arch| arch != ARCH_X86_64 && arch != 0)
}

/// The exception that a signal stands for; none if somebody sent it. The exception's number is told by what Linux makes of
/// each; the processor's error code is not told, but for what follows from the signal.
fn fault(tid: i32, signo: i32) -> Option<FaultInfo> {
    const PAGE_PRESENT: u64 = 1;
    const PAGE_USER: u64 = 4;
    if !matches!(
        signo,
        libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGTRAP
    ) {
        return None;
    }
    let (code, addr) = ptrace::signal_info(tid).ok()?;
    if code <= 0 {
        return None;
    }
    let kernel = code == 128;
    let (trapno, err) = match (signo, code) {
        (libc::SIGSEGV, _) if kernel => (13, 0),
        (libc::SIGSEGV, 1) | (libc::SIGBUS, 2..) => (14, PAGE_USER),
        (libc::SIGSEGV, _) => (14, PAGE_USER | PAGE_PRESENT),
        (libc::SIGBUS, _) => (17, 0),
        // Integer division and overflow; what SSE finds.
        (libc::SIGFPE, 1 | 2) => (0, 0),
        (libc::SIGFPE, _) => (19, 0),
        (libc::SIGILL, _) => (6, 0),
        // A breakpoint, a step.
        (_, _) if kernel => (3, 0),
        (_, _) => (1, 0),
    };
    let cr2 = if trapno == 14 { addr } else { 0 };
    let addr = if kernel { 0 } else { addr };
    Some(FaultInfo {
        signo,
        code,
        addr,
        trapno,
        err,
        cr2,
    })
}
