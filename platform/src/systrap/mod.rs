//! Systrap: guest threads are host threads in other processes, caught by seccomp signals (README.md here).

mod births;
mod clone;
mod context;
mod event;
mod exchange;
mod hub;
mod pace;
mod process;
mod reaper;
mod reply;
mod start;
mod thread;
mod watchdog;

use std::sync::Arc;

use abi::errno::Result;

use crate::guest::layout::GUEST_END;
use crate::{AddressSpace, BoxFuture, Context, NewProcess, Nursery, OpenOptions, Platform, PlatformError};
use context::SysContext;
use hub::Hub;

/// The name that `--platform` takes.
pub const NAME: &str = "systrap";

/// The platform object.
pub struct Systrap {
    hub: Arc<Hub>,
    zygote: Arc<Zygote>,
}

type Zygote = crate::guest::zygote::Zygote<SysContext>;

/// Starts the zygote and the thread that reaps.
pub fn open(options: OpenOptions) -> std::result::Result<Arc<dyn Platform>, PlatformError> {
    let (hub, mut context) = start::start(options)?;
    let zygote = Arc::new(Zygote::starting());
    context.origin = Arc::downgrade(&zygote);
    zygote.put(Ok(context));
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
            let context = fork(&self.zygote).await?;
            Ok((context.space(), Box::new(context) as Box<dyn Context>))
        })
    }

    fn nursery(&self) -> BoxFuture<'_, Result<Arc<dyn Nursery>>> {
        Box::pin(async {
            let mut context = fork(&self.zygote).await?;
            let space = context.space();
            let zygote = Arc::new(Zygote::starting());
            context.origin = Arc::downgrade(&zygote);
            zygote.put(Ok(context));
            Ok(Arc::new(Branch { zygote, space }) as Arc<dyn Nursery>)
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

/// A zygote of some processes.
struct Branch {
    zygote: Arc<Zygote>,
    space: Arc<dyn AddressSpace>,
}

impl Nursery for Branch {
    fn host_pid(&self) -> Option<i32> {
        self.space.host_pid()
    }

    fn new_process(&self) -> BoxFuture<'_, Result<NewProcess>> {
        Box::pin(async {
            let context = fork(&self.zygote).await?;
            Ok((context.space(), Box::new(context) as Box<dyn Context>))
        })
    }
}

impl Drop for Systrap {
    fn drop(&mut self) {
        self.hub.kill_all();
    }
}

/// A fresh process, its thread stopped.
async fn fork(zygote: &Zygote) -> Result<SysContext> {
    let mut loan = zygote.borrow().await?;
    let zygote = loan.get()?;
    let mut child = std::future::poll_fn(|cx| zygote.poll_fork_context(cx)).await?;
    child.make_clean();
    Ok(child)
}
