//! From a donated configuration to a running container.

mod cgroups;
pub mod config;
pub mod container;
pub mod control;
mod copy;
mod devices;
mod exec;
mod home;
mod join;
mod launch;
pub mod pod;
mod server;
mod stdio;
mod tree;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use platform::OpenOptions;
use platform::host::confine::{Needs, confine};
use platform::host::last_words;

use self::config::{BootConfig, BootError, BootStatus, NetworkMode};
use self::container::Container;
use self::pod::Pod;
use crate::executor::{Executor, FdEvents, HostFd};
use crate::kernel::Kernel;

/// Why there is no container.
#[derive(Debug)]
pub struct Failed {
    /// One line for people.
    pub message: String,
    /// Exit code for `runsc`.
    pub exit_code: i32,
}

impl Failed {
    fn new(message: impl Into<String>) -> Failed {
        Failed {
            message: message.into(),
            exit_code: 128,
        }
    }
}

/// Takes a donated fd over.
fn donated(number: i32, what: &str) -> Result<OwnedFd, Failed> {
    platform::host::inherited::take(number).map_err(|e| Failed::new(format!("donated fd {number} ({what}): {e}")))
}

/// Entry point of the sandbox process (`runsc boot`): builds the kernel and the container, runs it, and gives the exit
/// code for the host process. Called with all namespaces and credentials already set up by `runsc`.
pub fn run(config: BootConfig) -> i32 {
    if let Some(log) = config.fds.log.and_then(|n| donated(n, "log").ok()) {
        crate::log::init(log, config.sandbox.debug);
    }
    let exit = config.fds.exit.and_then(|n| donated(n, "exit").ok()).map(Arc::new);
    last_words::prepare(exit.clone(), |reason| {
        crate::log::warn(format_args!("the sandbox ends: {reason}"))
    });
    let ready = config.fds.ready.and_then(|n| donated(n, "ready").ok());
    let gofer = config.fds.gofer_alive.and_then(|n| donated(n, "gofer").ok());
    match boot(config, ready, gofer, exit) {
        Ok(code) => code,
        Err(code) => code,
    }
}

/// Tells the waiting `runsc` how it went.
fn report(ready: Option<OwnedFd>, error: Option<&Failed>) {
    let error = error.map(|f| BootError {
        message: f.message.clone(),
        exit_code: f.exit_code,
    });
    if let (Some(fd), Ok(mut text)) = (ready, serde_json::to_string(&BootStatus { error })) {
        text.push('\n');
        let _ = rustix::io::write(&fd, text.as_bytes());
    }
}

fn boot(
    config: BootConfig,
    mut ready: Option<OwnedFd>,
    gofer: Option<OwnedFd>,
    exit: Option<Arc<OwnedFd>>,
) -> Result<i32, i32> {
    let built = build(&config, &mut ready);
    let (kernel, seed) = match built {
        Ok(built) => built,
        Err(failed) => {
            report(ready, Some(&failed));
            return Err(failed.exit_code);
        }
    };
    let proc_fd = config.fds.proc;
    let resized = config.fds.resized.and_then(|n| donated(n, "resized").ok());
    let code = Arc::new(AtomicI32::new(128));
    let executor = kernel.executor.clone();
    let (executor2, code2) = (executor.clone(), code.clone());
    executor.spawn(async move {
        code2.store(live(seed, ready, (exit, resized), proc_fd).await, Ordering::SeqCst);
        executor2.stop();
    });
    if let Some(gofer) = gofer {
        executor.spawn(end_with_gofer(executor.clone(), gofer));
    }
    let workers = usize::try_from(kernel.config.cpus).unwrap_or(2).clamp(2, 64);
    executor.run(workers.max(3));
    Ok(code.load(Ordering::SeqCst))
}

/// Without its Gofer a container has no files any more: it ends.
async fn end_with_gofer(executor: Arc<Executor>, alive: OwnedFd) {
    let alive = HostFd::new(&executor, Arc::new(alive), FdEvents::IN | FdEvents::HUP);
    while !ready_to_read(alive.fd().as_fd()) {
        alive.changed().await;
    }
    last_words::say(&gofers_words(alive.fd()));
    executor.stop();
}

/// What it said on its standard error, which is this pipe unless it has runsc's. It may be hostile: one line of plain text.
fn gofers_words(alive: &OwnedFd) -> String {
    let mut words = [0u8; 400];
    let got = rustix::io::read(alive, &mut words).unwrap_or(0);
    let text = String::from_utf8_lossy(words.get(..got).unwrap_or_default());
    let line: String = text
        .split_whitespace()
        .flat_map(|word| [" ", word])
        .flat_map(str::chars)
        .filter(|c| !c.is_control())
        .collect();
    match line.is_empty() {
        true => "the gofer was killed".to_owned(),
        false => format!("the gofer has ended:{line}"),
    }
}

/// Everything that can be made before any guest code runs, while the process has one thread.
fn build(config: &BootConfig, ready: &mut Option<OwnedFd>) -> Result<(Arc<Kernel>, launch::Seed), Failed> {
    platform::host::process::single_arena();
    let proc = config.fds.proc.map(|n| donated(n, "proc")).transpose()?;
    let options = OpenOptions { proc };
    let platform = platform::open(&config.sandbox.platform, options).map_err(|e| Failed::new(e.to_string()))?;
    let executor = Executor::new(platform.clone()).map_err(|e| Failed::new(format!("event queue: {e}")))?;
    let kernel = Kernel::new(platform, executor, config.sandbox.clone());
    // Told before the kernel goes: its first guest process goes with it, and whoever watches that ends this process.
    let seed = launch::prepare(&kernel, config).inspect_err(|failed| report(ready.take(), Some(failed)))?;
    Ok((kernel, seed))
}

/// The container from its first process to its end; gives the exit code.
async fn live(
    seed: launch::Seed,
    ready: Option<OwnedFd>,
    (exit, resized): (Option<Arc<OwnedFd>>, Option<OwnedFd>),
    proc_fd: Option<i32>,
) -> i32 {
    let executor = seed.kernel.executor.clone();
    let network = seed.kernel.config.network;
    let start = seed
        .start
        .as_ref()
        .map(|fd| HostFd::new(&executor, fd.clone(), FdEvents::IN | FdEvents::RDHUP));
    let (control, bare) = (seed.control.clone(), seed.bare());
    let container: Arc<Container> = match seed.launch().await {
        Ok(container) => container,
        Err(failed) => {
            report(ready, Some(&failed));
            return failed.exit_code;
        }
    };
    if let Some(listener) = control {
        executor.spawn(server::serve(
            executor.clone(),
            listener,
            Pod::new(container.clone(), bare),
        ));
    }
    if let Some(resized) = resized {
        executor.spawn(follow_size(executor.clone(), resized, container.clone()));
    }
    // From here on no host call but those of the list; no guest instruction has run yet (S4).
    let needs = Needs {
        platform: executor.platform_name(),
        host_network: network == NetworkMode::Host,
        proc_fd,
    };
    if let Err(e) = confine(&needs) {
        let failed = Failed::new(e.to_string());
        report(ready, Some(&failed));
        return failed.exit_code;
    }
    report(ready, None);
    if let Some(start) = start
        && !wait_for_start(&start).await
    {
        last_words::say("runsc has gone before it was started");
        return 128;
    }
    container.start();
    let status = container.finished().await;
    if let Some(exit) = exit {
        let _ = rustix::io::write(&exit, status.to_string().as_bytes());
    }
    container.executed(status).await;
    match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    }
}

/// The guest's terminal has the size of the host's. That one tells its session's leader, this process, by a signal.
async fn follow_size(executor: Arc<Executor>, resized: OwnedFd, container: Arc<Container>) {
    let resized = HostFd::new(&executor, Arc::new(resized), FdEvents::IN);
    let mut info = [0u8; 128];
    loop {
        match rustix::io::read(resized.fd(), &mut info) {
            Ok(_) => container.resize(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => resized.changed().await,
            Err(_) => return,
        }
    }
}

/// One byte on the pipe is the order to start; its end without is the end of the sandbox.
async fn wait_for_start(start: &HostFd) -> bool {
    loop {
        let mut byte = [0u8; 1];
        if ready_to_read(start.fd().as_fd()) {
            return matches!(rustix::io::read(start.fd(), &mut byte), Ok(1));
        }
        start.changed().await;
    }
}

fn ready_to_read(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&zero)).is_ok_and(|n| n > 0)
}
