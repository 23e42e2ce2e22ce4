//! User notification (`seccomp_unotify(2)`): calls that another process answers.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::{Errno, Restart, SysError, SysResult};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Filter;
use crate::fs::{File, FileOps, OpenFlags};
use crate::sync::Mutex;
use crate::task::{Cx, Task};
use crate::usermem::UserAddr;
use crate::wait::{Blocker, Events, WaitQueue};

/// `struct seccomp_notif`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Notif {
    id: u64,
    pid: u32,
    flags: u32,
    data: [u32; 16],
}

/// `struct seccomp_notif_resp`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

/// `struct seccomp_notif_sizes`: of the notification, of the response, of the data in it.
pub const SIZES: [u16; 3] = [80, 24, 64];

const RECV: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const ID_VALID: u32 = 0x4008_2102;
/// As it was before Linux 5.17, with the direction the wrong way round.
const ID_VALID_OLD: u32 = 0x8008_2102;
const ADDFD: u32 = 0x4018_2103;
const SET_FLAGS: u32 = 0x4008_2104;

/// How far a notification has come.
#[derive(Clone, Copy)]
enum Stage {
    /// Nobody has seen it.
    New,
    /// The listener knows it.
    Seen,
    /// Answered: the call's result, or none if it is to be made.
    Answered(Option<u64>),
}

struct Pending {
    id: u64,
    task: Weak<Task>,
    data: [u32; 16],
    stage: Stage,
}

#[derive(Default)]
struct State {
    pending: Vec<Pending>,
    next_id: u64,
    closed: bool,
}

/// What a filter and its listener share.
#[derive(Default)]
pub struct Notifier {
    state: Mutex<State>,
    /// The listener waits here.
    queue: Arc<WaitQueue>,
    /// Tasks that wait for an answer.
    answers: Arc<WaitQueue>,
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: what the listener has seen no signal takes back but one that kills.
    pub(super) killable: bool,
}

/// What comes of asking.
pub(crate) enum Answer {
    /// The call is made after all.
    Continue,
    /// The result in its place.
    Result(u64),
    /// A signal came first: the call starts over.
    Interrupted,
}

/// What a waiting task does next.
enum Step {
    Done(Answer),
    Wait,
    /// Waits although a signal is pending.
    Patience,
}

/// How long that wait is at a time.
const NAP_NS: u64 = 1_000_000;

impl Notifier {
    pub(super) fn new(killable: bool) -> Arc<Notifier> {
        Arc::new(Notifier {
            killable,
            ..Notifier::default()
        })
    }

    /// Nobody will notify any more.
    pub(super) fn filter_gone(&self) {
        self.queue.wake(Events::HUP);
    }

    /// Asks the listener about a call and waits for what it says. `ENOSYS` if there is none any more.
    pub(crate) async fn ask(&self, task: &Arc<Task>, data: [u32; 16]) -> Answer {
        let id = {
            let mut state = self.state.lock();
            if state.closed {
                return Answer::Result(Errno::ENOSYS.as_return());
            }
            state.next_id += 1;
            let id = state.next_id;
            state.pending.push(Pending {
                id,
                task: Arc::downgrade(task),
                data,
                stage: Stage::New,
            });
            id
        };
        self.queue.wake(Events::READ);
        let mut blocker = Blocker::new(task, None);
        loop {
            let slept = blocker.wait_on(&self.answers, Events::IN).await;
            match self.step(id, slept.is_err(), task.is_killed()) {
                Step::Done(answer) => return answer,
                Step::Wait => {}
                // The signal stays pending, and would end every wait at once.
                Step::Patience => {
                    let soon = crate::executor::Executor::now().saturating_add(NAP_NS);
                    crate::wait::sleep_until(&task.kernel.executor, soon).await;
                }
            }
        }
    }

    /// Looks at a notification again.
    fn step(&self, id: u64, interrupted: bool, killed: bool) -> Step {
        let mut state = self.state.lock();
        let found = state.pending.iter().enumerate().find(|(_, p)| p.id == id);
        let Some((at, stage)) = found.map(|(at, p)| (at, p.stage)) else {
            return Step::Done(Answer::Result(Errno::ENOSYS.as_return()));
        };
        let answer = match stage {
            Stage::Answered(result) => result.map_or(Answer::Continue, Answer::Result),
            Stage::Seen if interrupted && self.killable && !killed => return Step::Patience,
            _ if interrupted => Answer::Interrupted,
            _ => return Step::Wait,
        };
        state.pending.remove(at);
        Step::Done(answer)
    }

    fn poll(&self) -> Events {
        let state = self.state.lock();
        let mut events = Events::empty();
        for pending in &state.pending {
            match pending.stage {
                Stage::New => events |= Events::READ,
                Stage::Seen => events |= Events::WRITE,
                Stage::Answered(_) => {}
            }
        }
        events
    }

    fn take_new(&self, cx: &Cx) -> Option<Notif> {
        let mut state = self.state.lock();
        let pending = state.pending.iter_mut().find(|p| matches!(p.stage, Stage::New))?;
        pending.stage = Stage::Seen;
        let pid = pending.task.upgrade().map_or(0, |t| t.pid.in_ns(cx.task.pid_ns()));
        Some(Notif {
            id: pending.id,
            pid: pid.unsigned_abs(),
            flags: 0,
            data: pending.data,
        })
    }

    /// The notification could not be handed over: it is new again.
    fn put_back(&self, id: u64) {
        if let Some(pending) = self.state.lock().pending.iter_mut().find(|p| p.id == id) {
            pending.stage = Stage::New;
        }
    }

    fn answer(&self, id: u64, result: Option<u64>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let pending = state.pending.iter_mut().find(|p| p.id == id).ok_or(Errno::ENOENT)?;
        if !matches!(pending.stage, Stage::Seen) {
            return Err(Errno::EINPROGRESS);
        }
        pending.stage = Stage::Answered(result);
        drop(state);
        self.answers.wake(Events::IN);
        Ok(())
    }

    /// The task that waits for the answer to a notification that the listener has seen.
    fn asker(&self, id: u64) -> Result<Arc<Task>, Errno> {
        let state = self.state.lock();
        let pending = state.pending.iter().find(|p| p.id == id).ok_or(Errno::ENOENT)?;
        match pending.stage {
            Stage::Seen => pending.task.upgrade().ok_or(Errno::ENOENT),
            _ => Err(Errno::EINPROGRESS),
        }
    }
}

/// The listener's file.
pub struct ListenerFile {
    notifier: Arc<Notifier>,
    filter: Weak<Filter>,
}

impl ListenerFile {
    pub(super) fn new(notifier: Arc<Notifier>, filter: &Arc<Filter>) -> Arc<ListenerFile> {
        Arc::new(ListenerFile {
            notifier,
            filter: Arc::downgrade(filter),
        })
    }

    /// `SECCOMP_IOCTL_NOTIF_RECV`: waits for a notification. None for any other request.
    pub(crate) async fn wait_ioctl(&self, cx: &mut Cx, request: u32, at: UserAddr) -> Option<SysResult<u64>> {
        match request {
            RECV => Some(self.receive(cx, at).await),
            _ => None,
        }
    }

    async fn receive(&self, cx: &mut Cx, at: UserAddr) -> SysResult<u64> {
        let given: [u8; size_of::<Notif>()] = cx.read_obj(at)?;
        if given.iter().any(|&b| b != 0) {
            return Err(Errno::EINVAL.into());
        }
        let mut blocker = Blocker::new(&cx.task, None);
        let notif = loop {
            if let Some(notif) = self.notifier.take_new(cx) {
                break notif;
            }
            if self.filter.strong_count() == 0 {
                return Err(Errno::ENOENT.into());
            }
            blocker
                .wait_on(&self.notifier.queue, Events::READ)
                .await
                .map_err(|_| SysError::Restart(Restart::Sys))?;
        };
        if let Err(e) = cx.write_obj(at, &notif) {
            self.notifier.put_back(notif.id);
            return Err(e.into());
        }
        self.notifier.queue.wake(Events::WRITE);
        Ok(0)
    }

    fn send(&self, cx: &Cx, at: UserAddr) -> SysResult<u64> {
        const CONTINUE: u32 = 1;
        let response: Response = cx.read_obj(at)?;
        if response.flags & !CONTINUE != 0 {
            return Err(Errno::EINVAL.into());
        }
        let result = match response.flags {
            CONTINUE if response.error != 0 || response.val != 0 => return Err(Errno::EINVAL.into()),
            CONTINUE => None,
            _ if response.error != 0 => Some(i64::from(response.error).cast_unsigned()),
            _ => Some(response.val.cast_unsigned()),
        };
        self.notifier.answer(response.id, result)?;
        Ok(0)
    }

    /// Puts one of the listener's files into the table of the task that waits.
    fn add_fd(&self, cx: &Cx, at: UserAddr) -> SysResult<u64> {
        const SETFD: u32 = 1;
        const AND_SEND: u32 = 2;
        let wish: AddFd = cx.read_obj(at)?;
        let cloexec = OpenFlags::CLOEXEC.bits();
        if wish.newfd_flags & !cloexec != 0 || wish.flags & !(SETFD | AND_SEND) != 0 {
            return Err(Errno::EINVAL.into());
        }
        if wish.newfd != 0 && wish.flags & SETFD == 0 {
            return Err(Errno::EINVAL.into());
        }
        let file = cx.task.files().get_any(wish.srcfd.cast_signed())?;
        let target = self.notifier.asker(wish.id)?;
        let (files, limit) = (target.files(), target.fd_limit());
        let closes = wish.newfd_flags & cloexec != 0;
        let fd = match wish.flags & SETFD {
            0 => files.add(file, closes, limit)?,
            _ => {
                let fd = wish.newfd.cast_signed();
                if u64::from(wish.newfd) >= limit {
                    return Err(Errno::EBADF.into());
                }
                if let Some(old) = files.put(fd, file, closes)? {
                    // As for `dup2(2)` the error of this close is lost.
                    let _ = old.ops.flush(&old);
                }
                fd
            }
        };
        let fd = u64::from(fd.cast_unsigned());
        if wish.flags & AND_SEND != 0 {
            self.notifier.answer(wish.id, Some(fd))?;
        }
        Ok(fd)
    }
}

impl FileOps for ListenerFile {
    fn poll(&self, _file: &File) -> Events {
        let mut events = self.notifier.poll();
        if self.filter.strong_count() == 0 {
            events |= Events::HUP;
        }
        events
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.notifier.queue)
    }

    fn ioctl(&self, cx: &mut Cx, _file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        let at = UserAddr(arg);
        match cmd {
            SEND => self.send(cx, at),
            ID_VALID | ID_VALID_OLD => {
                let id: u64 = cx.read_obj(at)?;
                match self.notifier.asker(id) {
                    Ok(_) => Ok(0),
                    Err(_) => Err(Errno::ENOENT.into()),
                }
            }
            ADDFD => self.add_fd(cx, at),
            // `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: a hint to the scheduler.
            SET_FLAGS if arg & !1 == 0 => Ok(0),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for ListenerFile {
    fn drop(&mut self) {
        // Whoever waits gets `ENOSYS`, and so does whoever asks from now on.
        let mut state = self.notifier.state.lock();
        state.closed = true;
        state.pending.clear();
        drop(state);
        self.notifier.answers.wake(Events::all());
    }
}
