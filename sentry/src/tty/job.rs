//! Job control: who may use a terminal now (`credentials(7)`, `termios(3)`, "controlling terminal").

use std::sync::Arc;

use abi::errno::Result;
use abi::termios::TOSTOP;
use abi::{Errno, Restart, SysError, SysResult};

use super::Tty;
use crate::cred::cap;
use crate::signal::{SIG_IGN, SigInfo, Signal};
use crate::task::{ProcessGroup, Session, Task};

fn pgrp(task: &Task) -> Option<Arc<ProcessGroup>> {
    task.kernel.tasks.pgrp(&task.group)
}

/// The terminal controls the task's session.
fn is_own(tty: &Tty, session: &Session) -> bool {
    session.tty.lock().as_ref().is_some_and(|t| tty.is(t.as_ref()))
}

/// `__tty_check_change`: a background process gets `signal` with its whole group. True if it was sent: the call starts over.
fn check_change(tty: &Tty, task: &Arc<Task>, signal: Signal) -> Result<bool> {
    let Some(pgrp) = pgrp(task) else { return Ok(false) };
    if !is_own(tty, &pgrp.session) {
        return Ok(false);
    }
    let foreground = tty.state.lock().foreground;
    let own = pgrp.pid.number();
    if foreground.is_none_or(|f| f == own) {
        return Ok(false);
    }
    let ignored = task.group.handlers().lock().get(signal).handler == SIG_IGN;
    if ignored || task.sigmask().contains(signal) {
        // Reading is an error then, everything else is allowed.
        return if signal == Signal::SIGTTIN {
            Err(Errno::EIO)
        } else {
            Ok(false)
        };
    }
    if task.kernel.tasks.is_orphaned_pgrp(own) {
        return Err(Errno::EIO);
    }
    task.kernel.tasks.signal_pgrp(own, SigInfo::kernel(signal));
    Ok(true)
}

/// Before a read. `EAGAIN` after `SIGTTIN` was sent: the wait that follows ends by the signal.
pub(super) fn check_read(tty: &Tty, task: &Arc<Task>) -> Result<()> {
    if check_change(tty, task, Signal::SIGTTIN)? {
        Err(Errno::EAGAIN)
    } else {
        Ok(())
    }
}

/// Before a write, where `TOSTOP` is on.
pub(super) fn check_write(tty: &Tty, task: &Arc<Task>) -> Result<()> {
    if !tty.state.lock().ldisc.termios.l(TOSTOP) {
        return Ok(());
    }
    if check_change(tty, task, Signal::SIGTTOU)? {
        Err(Errno::EAGAIN)
    } else {
        Ok(())
    }
}

/// Before a change of settings.
pub(super) fn check_set(tty: &Tty, task: &Arc<Task>) -> SysResult<()> {
    if check_change(tty, task, Signal::SIGTTOU)? {
        Err(SysError::Restart(Restart::Sys))
    } else {
        Ok(())
    }
}

fn take(tty: &Arc<Tty>, session: &Arc<Session>, pgid: i32) {
    let mut state = tty.state.lock();
    state.session = Some(Arc::downgrade(session));
    state.foreground = Some(pgid);
    drop(state);
    *session.tty.lock() = Some(tty.clone());
}

fn owner(tty: &Tty) -> Option<Arc<Session>> {
    tty.state.lock().session.as_ref()?.upgrade()
}

/// On open: a session leader without a terminal takes a free one.
pub(super) fn take_if_free(tty: &Arc<Tty>, task: &Arc<Task>) {
    let Some(pgrp) = pgrp(task) else { return };
    let leads = pgrp.session.pid.number() == task.group.tgid;
    if leads && pgrp.session.tty.lock().is_none() && owner(tty).is_none() {
        take(tty, &pgrp.session, pgrp.pid.number());
    }
}

/// Makes it the controlling terminal of a new session, whatever was before: the console of a container.
pub(super) fn force(tty: &Arc<Tty>, task: &Arc<Task>) {
    if let Some(pgrp) = pgrp(task) {
        take(tty, &pgrp.session, pgrp.pid.number());
    }
}

/// `TIOCSCTTY`
pub(super) fn set_controlling(tty: &Arc<Tty>, task: &Arc<Task>, steal: bool) -> Result<()> {
    let pgrp = pgrp(task).ok_or(Errno::EPERM)?;
    let session = &pgrp.session;
    let leads = session.pid.number() == task.group.tgid;
    if leads && is_own(tty, session) {
        return Ok(());
    }
    if !leads || session.tty.lock().is_some() {
        return Err(Errno::EPERM);
    }
    if let Some(other) = owner(tty) {
        if !steal || !task.capable(cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        *other.tty.lock() = None;
    }
    take(tty, session, pgrp.pid.number());
    Ok(())
}

/// `TIOCNOTTY`
pub(super) fn give_up(tty: &Tty, task: &Arc<Task>) -> Result<()> {
    let pgrp = pgrp(task).ok_or(Errno::ENOTTY)?;
    let session = &pgrp.session;
    if !is_own(tty, session) {
        return Err(Errno::ENOTTY);
    }
    if session.pid.number() != task.group.tgid {
        // Only leaders are bound to it; Linux forgets it for the one process, which has no effect that others see.
        return Ok(());
    }
    *session.tty.lock() = None;
    let foreground = {
        let mut state = tty.state.lock();
        state.session = None;
        state.foreground.take()
    };
    if let Some(pgid) = foreground {
        task.kernel.tasks.signal_pgrp(pgid, SigInfo::kernel(Signal::SIGHUP));
        task.kernel.tasks.signal_pgrp(pgid, SigInfo::kernel(Signal::SIGCONT));
    }
    Ok(())
}

/// `TIOCGPGRP`: as the caller sees it; 0 for none. On the master no check whose terminal it is.
pub(super) fn foreground(tty: &Tty, task: &Arc<Task>, master: bool) -> Result<i32> {
    if !master && !pgrp(task).is_some_and(|p| is_own(tty, &p.session)) {
        return Err(Errno::ENOTTY);
    }
    let Some(pgid) = tty.state.lock().foreground else {
        return Ok(0);
    };
    let pgrp = task.kernel.tasks.find_pgrp(pgid);
    Ok(pgrp.map_or(0, |p| p.pid.in_ns(task.pid_ns())))
}

/// `TIOCSPGRP`
pub(super) fn set_foreground(tty: &Tty, task: &Arc<Task>, pgid: i32) -> SysResult<()> {
    check_set(tty, task)?;
    let own = pgrp(task).ok_or(Errno::ENOTTY)?;
    if !is_own(tty, &own.session) {
        return Err(Errno::ENOTTY.into());
    }
    if pgid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let wanted = task
        .kernel
        .tasks
        .find_pgrp_in(task.pid_ns(), pgid)
        .ok_or(Errno::ESRCH)?;
    if !Arc::ptr_eq(&wanted.session, &own.session) {
        return Err(Errno::EPERM.into());
    }
    tty.state.lock().foreground = Some(wanted.pid.number());
    Ok(())
}

/// `TIOCGSID`
pub(super) fn session_id(tty: &Tty, task: &Arc<Task>, master: bool) -> Result<i32> {
    if !master && !pgrp(task).is_some_and(|p| is_own(tty, &p.session)) {
        return Err(Errno::ENOTTY);
    }
    let session = owner(tty).ok_or(Errno::ENOTTY)?;
    Ok(session.pid.in_ns(task.pid_ns()))
}
