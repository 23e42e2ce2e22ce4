//! Ptrace: guest threads are host threads in other processes, traced by one thread of the Sentry (README.md here).

mod boot;
mod context;
mod hub;
mod image;
mod thread;
mod tracer;
mod work;

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::guest::layout::GUEST_END;
use crate::host::{process as host_process, ptrace};
use crate::{BoxFuture, NewProcess, Nursery, OpenOptions, Platform, PlatformError};
use context::PtContext;
use hub::Hub;

/// The name that `--platform` takes.
pub const NAME: &str = "ptrace";

/// The platform object.
pub struct Ptrace {
    hub: Arc<Hub>,
    zygote: Arc<Zygote>,
}

type Zygote = crate::guest::zygote::Zygote<PtContext>;

/// Sees whether tracing is possible. The zygote is started by the thread that will trace it, the first that waits.
pub fn open(options: OpenOptions) -> std::result::Result<Arc<dyn Platform>, PlatformError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |errno: Errno| PlatformError::Host {
            platform: NAME,
            what,
            errno,
        }
    };
    let program = image::program().map_err(failed("make the guest's first program"))?;
    probe(&program).map_err(failed("trace a process (is ptrace restricted by yama or seccomp?)"))?;
    let hub = Arc::new(Hub::new(program, options.proc));
    let zygote = Arc::new(Zygote::starting());
    *hub.zygote.lock() = Arc::downgrade(&zygote);
    Ok(Arc::new(Ptrace { hub, zygote }))
}

/// Traces a process for a moment.
fn probe(program: &std::os::fd::OwnedFd) -> Result<()> {
    let pid = host_process::spawn(std::os::fd::AsFd::as_fd(program), None)?;
    let traced = ptrace::seize(pid);
    let _ = host_process::kill(pid, libc::SIGKILL);
    while ptrace::wait(pid, true).is_ok_and(|found| found.is_none_or(|(_, status)| status != ptrace::Status::Ended)) {}
    traced
}

impl Platform for Ptrace {
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
        host_process::global_barrier()
    }
}

impl Drop for Ptrace {
    fn drop(&mut self) {
        self.hub.close();
    }
}
