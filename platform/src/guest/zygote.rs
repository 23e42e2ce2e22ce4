//! The one process that all new address spaces are forked from.

use std::task::{Poll, Waker};

use abi::Errno;
use abi::errno::Result;
use parking_lot::Mutex;

/// The zygote's context `C`, for one user at a time.
pub(crate) struct Zygote<C>(Mutex<State<C>>);

struct State<C> {
    place: Place<C>,
    waiting: Vec<Waker>,
}

enum Place<C> {
    /// It is being started, or lent.
    Away,
    Here(C),
    /// It could not be started.
    Failed(Errno),
}

impl<C> Zygote<C> {
    /// One that is yet to be put here.
    pub(crate) fn starting() -> Zygote<C> {
        Zygote(Mutex::new(State {
            place: Place::Away,
            waiting: Vec::new(),
        }))
    }

    /// It has come (or come back), or will not.
    pub(crate) fn put(&self, context: Result<C>) {
        let mut state = self.0.lock();
        state.place = match context {
            Ok(context) => Place::Here(context),
            Err(errno) => Place::Failed(errno),
        };
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waker in waiting {
            waker.wake();
        }
    }

    /// Takes it; it comes back when the loan is dropped.
    pub(crate) async fn borrow(&self) -> Result<Loan<'_, C>> {
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock();
            match std::mem::replace(&mut state.place, Place::Away) {
                Place::Here(context) => Poll::Ready(Ok(Loan {
                    zygote: self,
                    context: Some(context),
                })),
                Place::Failed(errno) => {
                    state.place = Place::Failed(errno);
                    Poll::Ready(Err(errno))
                }
                Place::Away => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// The zygote's context, lent.
pub(crate) struct Loan<'a, C> {
    zygote: &'a Zygote<C>,
    context: Option<C>,
}

impl<C> Loan<'_, C> {
    pub(crate) fn get(&mut self) -> Result<&mut C> {
        self.context.as_mut().ok_or(Errno::EAGAIN)
    }
}

impl<C> Drop for Loan<'_, C> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            self.zygote.put(Ok(context));
        }
    }
}
