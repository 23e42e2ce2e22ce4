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
use crate::{AddressSpace, BoxFuture, Context, NewProcess, Nursery, OpenOptions, Platform, PlatformError};
use context::PtContext;
use hub::Hub;
use thread::Order;

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
        host_process::global_barrier()
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

impl Drop for Ptrace {
    fn drop(&mut self) {
        self.hub.close();
    }
}

/// A fresh process, its thread stopped.
async fn fork(zygote: &Zygote) -> Result<PtContext> {
    let mut loan = zygote.borrow().await?;
    let zygote = loan.get()?;
    let mut child = std::future::poll_fn(|cx| zygote.poll_born(cx, Order::Fork)).await?;
    child.make_clean();
    Ok(child)
}
