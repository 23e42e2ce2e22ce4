//! Processes that new address spaces are forked from.

use std::sync::Arc;
use std::task::{Poll, Waker};

use abi::Errno;
use abi::errno::Result;
use parking_lot::Mutex;

use super::drive::Driven;
use crate::{AddressSpace, BoxFuture, Context, NewProcess, Nursery};

/// Why a sandbox without it ends.
pub(crate) const KILLED: &str = "its first guest process was killed from outside";

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

impl<C: Driven> Zygote<C> {
    /// It has come: what is forked from it finds back to it for its next program.
    pub(crate) fn arrive(self: &Arc<Self>, context: Result<C>) {
        self.put(context.map(|mut context| {
            context.drive().origin = Arc::downgrade(self);
            context
        }));
    }

    /// A fresh process, its thread stopped.
    pub(crate) async fn fork(&self) -> Result<C> {
        let mut loan = self.borrow().await?;
        let zygote = loan.get()?;
        let mut child = std::future::poll_fn(|cx| zygote.poll_child(cx)).await?;
        child.make_clean();
        Ok(child)
    }
}

impl<C: Driven + Context> Zygote<C> {
    /// See `Platform::new_process`.
    pub(crate) fn new_process(&self) -> BoxFuture<'_, Result<NewProcess>> {
        Box::pin(async {
            let mut context = self.fork().await?;
            Ok((context.drive().space(), Box::new(context) as Box<dyn Context>))
        })
    }

    /// See `Platform::nursery`.
    pub(crate) fn nursery(&self) -> BoxFuture<'_, Result<Arc<dyn Nursery>>> {
        Box::pin(async {
            let mut context = self.fork().await?;
            let space = context.drive().space();
            let zygote = Arc::new(Zygote::starting());
            zygote.arrive(Ok(context));
            Ok(Arc::new(Branch { zygote, space }) as Arc<dyn Nursery>)
        })
    }
}

/// A zygote of some processes.
struct Branch<C> {
    zygote: Arc<Zygote<C>>,
    space: Arc<dyn AddressSpace>,
}

impl<C: Driven + Context> Nursery for Branch<C> {
    fn host_pid(&self) -> Option<i32> {
        self.space.host_pid()
    }

    fn new_process(&self) -> BoxFuture<'_, Result<NewProcess>> {
        self.zygote.new_process()
    }
}
