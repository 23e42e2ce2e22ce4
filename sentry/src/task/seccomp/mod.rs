//! Filters on system calls (`seccomp(2)`).

mod bpf;
mod notify;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::errno::Result;

pub use bpf::{Insn, MAX_INSNS, Program};
pub(crate) use notify::Answer;
pub use notify::{ListenerFile, Notifier, SIZES};

use super::{Cx, Task};
use crate::signal::info::{Detail, code};
use crate::signal::{SigInfo, Signal};

/// A filter and those installed before it.
pub struct Filter {
    program: Program,
    /// Bits of the calls that this filter and those before allow whatever the arguments are, like `struct action_cache`.
    allowed: [u64; CACHED / 64],
    before: Option<Arc<Filter>>,
    /// Who answers its user notifications.
    notifier: Option<Arc<Notifier>>,
}

impl Drop for Filter {
    fn drop(&mut self) {
        if let Some(notifier) = &self.notifier {
            notifier.filter_gone();
        }
    }
}

/// `SECCOMP_MODE_*`
#[derive(Clone, Default)]
pub enum Seccomp {
    /// Every call is allowed.
    #[default]
    Disabled,
    /// `read`, `write`, `exit` and `rt_sigreturn` only.
    Strict,
    /// The newest filter.
    Filter(Arc<Filter>),
}

impl std::fmt::Debug for Seccomp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mode {}", self.mode())
    }
}

/// `SECCOMP_RET_*`
pub mod action {
    #![allow(missing_docs, reason = "seccomp(2) documents each name")]
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    pub const KILL_THREAD: u32 = 0;
    pub const TRAP: u32 = 0x0003_0000;
    pub const ERRNO: u32 = 0x0005_0000;
    pub const USER_NOTIF: u32 = 0x7fc0_0000;
    pub const TRACE: u32 = 0x7ff0_0000;
    pub const LOG: u32 = 0x7ffc_0000;
    pub const ALLOW: u32 = 0x7fff_0000;
    pub const MASK: u32 = 0xffff_0000;
}

/// `AUDIT_ARCH_X86_64`
pub const AUDIT_ARCH: u32 = 0xc000_003e;

/// Most instructions of a chain, with four for each filter.
const MAX_CHAIN: usize = 32768;

/// Calls whose verdict is remembered; higher numbers are asked about each time.
const CACHED: usize = 512;

impl Filter {
    fn allows(&self, nr: u32) -> bool {
        let word = usize::try_from(nr / 64).ok().and_then(|i| self.allowed.get(i));
        word.is_some_and(|word| word & (1 << (nr % 64)) != 0)
    }
}

impl Seccomp {
    /// `PR_GET_SECCOMP`, and `Seccomp:` of `/proc/PID/status`.
    pub fn mode(&self) -> u32 {
        match self {
            Seccomp::Disabled => 0,
            Seccomp::Strict => 1,
            Seccomp::Filter(_) => 2,
        }
    }

    /// Number of filters.
    pub fn filters(&self) -> usize {
        self.chain().count()
    }

    fn chain(&self) -> impl Iterator<Item = &Arc<Filter>> {
        let first = match self {
            Seccomp::Filter(filter) => Some(filter),
            _ => None,
        };
        std::iter::successors(first, |f| f.before.as_ref())
    }

    /// With a further filter in front; `ENOMEM` if the chain gets too long.
    fn with(&self, program: Program, notifier: Option<Arc<Notifier>>) -> Result<(Seccomp, Arc<Filter>)> {
        // One listener is enough for all.
        if notifier.is_some() && self.chain().any(|f| f.notifier.is_some()) {
            return Err(Errno::EBUSY);
        }
        let size: usize = self.chain().map(|f| f.program.len() + 4).sum();
        if size + program.len() > MAX_CHAIN {
            return Err(Errno::ENOMEM);
        }
        let before = match self {
            Seccomp::Filter(filter) => Some(filter.clone()),
            _ => None,
        };
        let mut allowed = before.as_ref().map_or([u64::MAX; CACHED / 64], |f| f.allowed);
        for (word, nrs) in allowed.iter_mut().zip(0u32..) {
            for bit in 0..64 {
                if program.run_on_number(nrs * 64 + bit, AUDIT_ARCH) != Some(action::ALLOW) {
                    *word &= !(1 << bit);
                }
            }
        }
        let filter = Arc::new(Filter {
            program,
            allowed,
            before,
            notifier,
        });
        Ok((Seccomp::Filter(filter.clone()), filter))
    }

    /// True if `self` is `other` or was extended to it.
    fn is_ancestor_of(&self, other: &Seccomp) -> bool {
        match self {
            Seccomp::Disabled => true,
            Seccomp::Strict => false,
            Seccomp::Filter(mine) => other.chain().any(|f| Arc::ptr_eq(f, mine)),
        }
    }

    /// All filters' judgement: the strictest action, of equals the newest filter's.
    fn judge(&self, data: &[u32; 16]) -> (u32, Option<&Arc<Filter>>) {
        let strictness = |verdict: u32| (verdict & action::MASK).cast_signed();
        let mut result = (action::ALLOW, None);
        for filter in self.chain() {
            let verdict = filter.program.run(data);
            if strictness(verdict) < strictness(result.0) {
                result = (verdict, Some(filter));
            }
        }
        result
    }
}

/// What becomes of a call.
pub(super) enum Verdict {
    /// It is made.
    Run,
    /// It is not made; this is its result.
    Result(u64),
    /// The task ends with this wait status.
    Exit(i32),
    /// The tracer decides; the event's data.
    Trace(u16),
    /// A listener decides.
    Notify(Arc<Notifier>, [u32; 16]),
}

/// Asks the task's filters.
pub(super) fn check(cx: &mut Cx, nr: u32, args: &[u64; 6]) -> Verdict {
    let seccomp = cx.task.attr.lock().seccomp.clone();
    match seccomp {
        Seccomp::Disabled => Verdict::Run,
        Seccomp::Strict => match nr {
            0 | 1 | 15 | 60 => Verdict::Run,
            _ => Verdict::Exit(Signal::SIGKILL.number()),
        },
        Seccomp::Filter(ref newest) if newest.allows(nr) => Verdict::Run,
        Seccomp::Filter(_) => {
            let ip = cx.ctx.regs().rip;
            let data = describe(nr, ip, args);
            let (verdict, filter) = seccomp.judge(&data);
            let notifier = filter.and_then(|f| f.notifier.clone());
            match notifier.filter(|_| verdict & action::MASK == action::USER_NOTIF) {
                Some(notifier) => Verdict::Notify(notifier, data),
                None => carry_out(cx, nr, ip, verdict),
            }
        }
    }
}

fn carry_out(cx: &mut Cx, nr: u32, ip: u64, verdict: u32) -> Verdict {
    let data = abi::conv::low16(u64::from(verdict));
    match verdict & action::MASK {
        action::ALLOW | action::LOG => Verdict::Run,
        action::ERRNO => Verdict::Result(0u64.wrapping_sub(u64::from(data.min(4095)))),
        action::TRACE => Verdict::Trace(data),
        // A filter without a listener.
        action::USER_NOTIF => Verdict::Result(Errno::ENOSYS.as_return()),
        action::TRAP => {
            cx.task.force_signal(SigInfo {
                signal: Signal::SIGSYS,
                errno: i32::from(data),
                code: code::SYS_SECCOMP,
                detail: Detail::Sys {
                    addr: ip,
                    nr: nr.cast_signed(),
                    arch: AUDIT_ARCH,
                },
            });
            Verdict::Result(u64::from(nr))
        }
        action::KILL_THREAD => Verdict::Exit(Signal::SIGSYS.number()),
        _ => {
            cx.task.group.exit(Signal::SIGSYS.number());
            Verdict::Exit(Signal::SIGSYS.number())
        }
    }
}

/// `struct seccomp_data` as 32-bit words.
fn describe(nr: u32, ip: u64, args: &[u64; 6]) -> [u32; 16] {
    let mut data = [0u32; 16];
    let wide = std::iter::once(&ip).chain(args);
    let words = wide.flat_map(|&v| [abi::conv::low32(v), abi::conv::low32(v >> 32)]);
    let all = [nr, AUDIT_ARCH].into_iter().chain(words);
    for (to, from) in data.iter_mut().zip(all) {
        *to = from;
    }
    data
}

impl Task {
    fn set_seccomp(&self, seccomp: Seccomp) {
        self.attr.lock().seccomp = seccomp;
        self.filtered.store(true, Ordering::SeqCst);
    }

    /// `SECCOMP_SET_MODE_STRICT`
    pub(crate) fn seccomp_strict(&self) -> Result<()> {
        match self.attr.lock().seccomp {
            Seccomp::Disabled | Seccomp::Strict => {}
            Seccomp::Filter(_) => return Err(Errno::EINVAL),
        }
        self.set_seccomp(Seccomp::Strict);
        Ok(())
    }

    /// `SECCOMP_SET_MODE_FILTER`. With `sync` for all threads of the process: gives the id of one that cannot follow.
    pub fn seccomp_filter(&self, program: Program, sync: bool) -> Result<Option<i32>> {
        self.install(program, sync, None).map(|(stuck, _)| stuck)
    }

    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: gives the listener's file, or the id of the thread that cannot follow.
    pub(crate) fn seccomp_listener(
        &self,
        program: Program,
        sync: bool,
        killable: bool,
    ) -> Result<std::result::Result<Arc<ListenerFile>, i32>> {
        let notifier = Notifier::new(killable);
        let (stuck, filter) = self.install(program, sync, Some(notifier.clone()))?;
        Ok(match stuck {
            Some(tid) => Err(tid),
            None => Ok(ListenerFile::new(notifier, &filter)),
        })
    }

    fn install(
        &self,
        program: Program,
        sync: bool,
        notifier: Option<Arc<Notifier>>,
    ) -> Result<(Option<i32>, Arc<Filter>)> {
        let old = self.attr.lock().seccomp.clone();
        if matches!(old, Seccomp::Strict) {
            return Err(Errno::EINVAL);
        }
        let (new, filter) = old.with(program, notifier)?;
        if !sync {
            self.set_seccomp(new);
            return Ok((None, filter));
        }
        let state = self.group.state.lock();
        let others = || state.threads().iter().filter(|t| t.tid != self.tid);
        for other in others() {
            if !other.attr.lock().seccomp.is_ancestor_of(&old) {
                return Ok((Some(other.pid.in_ns(self.pid_ns())), filter));
            }
        }
        let nnp = self.cred().no_new_privs;
        for other in others() {
            other.set_seccomp(new.clone());
            if nnp {
                let mut cred = (*other.cred()).clone();
                cred.no_new_privs = true;
                other.set_cred(Arc::new(cred));
            }
        }
        self.set_seccomp(new);
        Ok((None, filter))
    }
}
