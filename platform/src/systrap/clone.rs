//! Orders to fork and to clone, from the parent's side.

use std::sync::Arc;
use std::task::{self, Poll, ready};

use abi::Errno;
use abi::conv::low32;
use abi::errno::Result;

use super::births::Birth;
use super::context::SysContext;
use super::hub::Hub;
use super::reply;
use super::thread::Thread;
use crate::OpFailure;
use crate::guest::drive::{Driven, Goal, Outcome};
use crate::guest::layout::{FORK_FLAGS, ORDER_CLONE, ORDER_FORK, Order, THREAD_FLAGS};

impl SysContext {
    /// Forks; see `Context::poll_fork`.
    pub(super) fn poll_fork_context(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<SysContext>> {
        let slot = self.thread.slot;
        self.poll_birth(
            cx,
            FORK_FLAGS,
            |hub, _| Birth::process(hub, slot),
            |birth| Order {
                kind: ORDER_FORK,
                nr: 0,
                args: [birth.token, 0, 0, 0, 0, 0],
            },
        )
    }

    /// Clones; see `Context::poll_clone`.
    pub(super) fn poll_clone_context(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<SysContext>> {
        let mut slot = 0;
        if self.birth.is_none() {
            slot = match self.thread.process.take_slot() {
                Some(slot) => slot,
                None => return Poll::Ready(Err(Errno::EAGAIN)),
            };
            reply::reset_slot(&self.thread, slot, self.hub.no_fsgsbase);
        }
        self.poll_birth(
            cx,
            THREAD_FLAGS,
            |hub, thread| Birth::thread(hub, &thread.process, slot),
            |birth| Order {
                kind: ORDER_CLONE,
                nr: 0,
                args: [u64::from(birth.slot()), birth.token, 0, 0, 0, 0],
            },
        )
    }

    fn poll_birth(
        &mut self,
        cx: &mut task::Context<'_>,
        flags: u64,
        make: impl FnOnce(&Arc<Hub>, &Thread) -> Result<Arc<Birth>>,
        order: impl FnOnce(&Birth) -> Order,
    ) -> Poll<Result<SysContext>> {
        let (birth, pid) = match &self.birth {
            Some((birth, pid)) => (Arc::clone(birth), *pid),
            None => {
                let birth = make(&self.hub, &self.thread)?;
                self.thread.allow_clone(Some(flags));
                self.birth = Some((Arc::clone(&birth), None));
                (birth, None)
            }
        };
        let pid = match pid {
            Some(pid) => pid,
            None => match ready!(self.poll_goal(cx, Goal::Extra(order(&birth)))) {
                Outcome::Done(pid) => low32(pid.cast_unsigned()).cast_signed(),
                Outcome::Failed(OpFailure { errno, .. }) | Outcome::Refused(errno) => {
                    return Poll::Ready(Err(self.abort_birth(errno)));
                }
                Outcome::Gone | Outcome::Stopped(_) => return Poll::Ready(Err(self.abort_birth(Birth::FAILED))),
            },
        };
        self.birth = Some((Arc::clone(&birth), Some(pid)));
        birth.set_waker(cx.waker());
        let Some(child) = birth.child() else {
            // A thread that dies with its process is not stillborn: nobody but the parent's own end tells of it.
            if birth.dead_before_hello(pid) || self.thread.is_gone() {
                return Poll::Ready(Err(self.abort_birth(Birth::FAILED)));
            }
            return Poll::Pending;
        };
        let alive = ready!(child.poll_stopped(cx.waker())).is_ok();
        self.birth = None;
        if !alive {
            return Poll::Ready(Err(Birth::FAILED));
        }
        let mut context = SysContext::new(&self.hub, child, self.regs, self.init_fpu);
        context.drive.origin.clone_from(&self.drive.origin);
        Poll::Ready(Ok(context))
    }

    pub(super) fn abort_birth(&mut self, errno: Errno) -> Errno {
        self.thread.allow_clone(None);
        if let Some((birth, _)) = self.birth.take() {
            birth.cancel();
        }
        errno
    }
}
