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
use crate::{BoxFuture, NewProcess, Nursery, OpenOptions, Platform, PlatformError};
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
    let (hub, context) = start::start(options)?;
    let zygote = Arc::new(Zygote::starting());
    zygote.arrive(Ok(context));
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
        self.zygote.new_process()
    }

    fn nursery(&self) -> BoxFuture<'_, Result<Arc<dyn Nursery>>> {
        self.zygote.nursery()
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
