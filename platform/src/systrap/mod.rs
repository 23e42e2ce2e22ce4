//! Systrap: guest threads are host threads in other processes, caught by seccomp signals (README.md here).

mod births;
mod context;
mod event;
mod exec;
mod fpu;
mod hub;
mod inflight;
mod kick;
mod pace;
mod process;
mod reaper;
mod reply;
mod start;
mod thread;
mod watchdog;

use std::sync::Arc;
use std::task::{Poll, Waker};

use abi::errno::Result;
use parking_lot::Mutex;

use crate::guest::layout::GUEST_END;
use crate::{BoxFuture, Context, NewProcess, OpenOptions, Platform, PlatformError};
use context::SysContext;
use hub::Hub;

/// The name that `--platform` takes.
pub const NAME: &str = "systrap";

/// The platform object.
pub struct Systrap {
    hub: Arc<Hub>,
    zygote: Arc<Zygote>,
}

/// The context of the process that all new address spaces are forked from, and who waits for it.
struct Zygote(Mutex<(Option<SysContext>, Vec<Waker>)>);

/// Starts the zygote and the thread that reaps.
pub fn open(options: OpenOptions) -> std::result::Result<Arc<dyn Platform>, PlatformError> {
    let (hub, zygote) = start::start(options)?;
    let zygote = Arc::new(Zygote(Mutex::new((Some(zygote), Vec::new()))));
    *hub.zygote.lock() = Arc::downgrade(&zygote);
    Ok(Arc::new(Systrap { hub, zygote }))
}

impl Platform for Systrap {
    fn name(&self) -> &'static str {
        NAME
    }

    fn guest_end(&self) -> u64 {
        GUEST_END
    }

    fn new_process(&self) -> BoxFuture<'_, Result<NewProcess>> {
        Box::pin(async {
            let context = self.zygote.fork().await?;
            Ok((context.space(), Box::new(context) as Box<dyn Context>))
        })
    }

    fn wait(&self) -> bool {
        self.hub.wait()
    }

    fn poll(&self) -> bool {
        self.hub.poll()
    }

    fn unpark(&self) {
        self.hub.unpark();
    }

    fn barrier(&self) -> bool {
        // The zygote has registered itself for it, and its forks inherit that.
        crate::host::process::global_barrier()
    }
}

impl Drop for Systrap {
    fn drop(&mut self) {
        self.hub.kill_all();
    }
}

impl Zygote {
    /// A fresh process, its thread stopped.
    async fn fork(&self) -> Result<SysContext> {
        let mut borrowed = self.borrow().await;
        let Some(zygote) = borrowed.context.as_mut() else {
            return Err(abi::Errno::EAGAIN);
        };
        let mut child = std::future::poll_fn(|cx| zygote.poll_fork_context(cx)).await?;
        child.make_clean();
        Ok(child)
    }

    /// One fork at a time.
    async fn borrow(&self) -> Borrowed<'_> {
        std::future::poll_fn(|cx| {
            let mut inner = self.0.lock();
            match inner.0.take() {
                Some(context) => Poll::Ready(Borrowed {
                    zygote: self,
                    context: Some(context),
                }),
                None => {
                    inner.1.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// The zygote's context, given back when dropped.
struct Borrowed<'a> {
    zygote: &'a Zygote,
    context: Option<SysContext>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut inner = self.zygote.0.lock();
        inner.0 = self.context.take();
        let waiting = std::mem::take(&mut inner.1);
        drop(inner);
        for waker in waiting {
            waker.wake();
        }
    }
}
