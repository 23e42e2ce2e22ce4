//! Bringing up the zygote.

use std::mem::offset_of;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use abi::Errno;
use abi::conv::{size, usize64};
use rustix::fs::{Mode, OFlags};

use super::context::SysContext;
use super::hub::Hub;
use super::process::Process;
use super::reaper;
use super::reply::{self, Batch, Ending};
use super::thread::Thread;
use crate::guest::drive::Driven;
use crate::guest::filter::Kind;
use crate::guest::fpu::Layout;
use crate::guest::layout::{BOOT_CHANNEL_FD, Boot, CONTROL_BYTES, Control, TURN_ASLEEP};
use crate::guest::{filter, image, procfs};
use crate::host::notify::{Answer, Listener};
use crate::host::shared::SharedMap;
use crate::host::{errno, process};
use crate::{OpenOptions, PlatformError, Vdso};

type Result<T> = std::result::Result<T, PlatformError>;

fn failed(what: &str) -> impl FnOnce(Errno) -> PlatformError + '_ {
    move |errno| PlatformError::Host {
        platform: super::NAME,
        what: what.to_owned(),
        errno,
    }
}

/// Starts the zygote; gives its context, stopped.
pub(super) fn start(options: OpenOptions) -> Result<(Arc<Hub>, SysContext)> {
    let fd = image::channel().map_err(failed("make a channel"))?;
    let channel = SharedMap::new(&fd, image::channel_len()).map_err(failed("map a channel"))?;
    write_boot(&channel);
    let (pid, adopt) = spawn(fd)?;
    match bring_up(pid, channel, options) {
        Ok((hub, context)) => {
            let watched = Arc::clone(&hub);
            let body = move || watched.watchdog.run();
            let thread = std::thread::Builder::new()
                .name("watchdog".to_owned())
                .stack_size(128 << 10);
            thread
                .spawn(body)
                .map_err(|_| Errno::EAGAIN)
                .map_err(failed("start the watchdog"))?;
            // The reaper lives as long as a guest process does.
            let _ = adopt.send(Arc::clone(&hub));
            Ok((hub, context))
        }
        Err(e) => {
            let _ = process::kill(pid, libc::SIGKILL);
            let _ = process::reap(pid);
            Err(e)
        }
    }
}

fn write_boot(channel: &SharedMap) {
    let program = filter::program(Kind::Signals);
    let data = size(CONTROL_BYTES);
    channel.write_u32(offset_of!(Control, no_fsgsbase), u32::from(!process::has_fsgsbase()));
    channel.write_u32(offset_of!(Control, boot), 1);
    channel.write_u64(data + offset_of!(Boot, filter_len), usize64(program.len()));
    channel.write_words(data + offset_of!(Boot, filter), &program);
}

/// Forks the zygote from a thread that outlives it: death signals follow the parent thread.
fn spawn(channel: OwnedFd) -> Result<(i32, mpsc::Sender<Arc<Hub>>)> {
    let stub = image::stub().map_err(failed("make the stub's file"))?;
    // Numbers out of the way of those that the child uses.
    let high = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 210).map_err(errno);
    let stub = high(&stub).map_err(failed("move an fd"))?;
    let channel = high(&channel).map_err(failed("move an fd"))?;
    let (report, started) = mpsc::channel();
    let (adopt, adopted) = mpsc::channel::<Arc<Hub>>();
    let thread = std::thread::Builder::new()
        .name("reaper".to_owned())
        .stack_size(256 << 10);
    let body = move || {
        let at = i32::try_from(BOOT_CHANNEL_FD).unwrap_or(3);
        let _ = report.send(process::spawn(stub.as_fd(), Some((channel.as_fd(), at))));
        drop((stub, channel));
        if let Ok(hub) = adopted.recv() {
            reaper::run(&hub);
        }
    };
    thread
        .spawn(body)
        .map_err(|_| Errno::EAGAIN)
        .map_err(failed("start the reaper"))?;
    let pid = started
        .recv()
        .map_err(|_| Errno::EAGAIN)
        .and_then(|pid| pid)
        .map_err(failed("start the zygote"))?;
    Ok((pid, adopt))
}

fn bring_up(pid: i32, channel: SharedMap, options: OpenOptions) -> Result<(Arc<Hub>, SysContext)> {
    wait_for_zygote(pid, &channel)?;
    let data = size(CONTROL_BYTES);
    let step = channel.read_u64(data + offset_of!(Boot, step));
    let number = channel.read_u64(data + offset_of!(Boot, listener)).cast_signed();
    if step != 0 {
        let errno = Errno::from_raw(i32::try_from(-number).unwrap_or(0));
        return Err(failed(&format!("set up the zygote, step {step}"))(errno));
    }
    let listener = fetch_listener(pid, number)?;
    // Linux 6.6; without it a hand-over costs more.
    let _ = listener.set_sync_wake_up(true);

    // The caller's procfs is kept; one found here serves only now.
    let kept = options.proc.is_some();
    let proc_fd = options.proc.or_else(|| {
        rustix::fs::open(
            "/proc",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .ok()
    });
    procfs::prefer_for_oom(pid, proc_fd.as_ref());
    let vdso = read_vdso(&channel);
    let fpu = Layout::learn(pid, channel.read_u64(offset_of!(Control, fp_addr)))
        .ok_or(Errno::EPERM)
        .map_err(failed("read the zygote's memory (is ptrace restricted by yama?)"))?;

    let hub = Hub::new(listener, pid, proc_fd.filter(|_| kept), vdso, fpu).map_err(failed("make an eventfd"))?;
    let hub = Arc::new(hub);
    let process = Process::new(&hub, pid, channel, 0);
    hub.processes.lock().insert(pid, Arc::clone(&process));
    let thread = Thread::new(process, 0, pid, None);
    hub.threads.lock().insert(pid, Arc::clone(&thread));
    close_listener_there(&hub, &thread, number).map_err(failed("take the zygote's first call"))?;
    let mut context = SysContext::new(&hub, thread, abi::regs::Regs::default(), true);
    context.make_clean();
    Ok((hub, context))
}

fn read_vdso(channel: &SharedMap) -> Option<Vdso> {
    let word = |field| channel.read_u64(size(CONTROL_BYTES) + field);
    let (base, vvar) = (word(offset_of!(Boot, vdso)), word(offset_of!(Boot, vvar)));
    let len = word(offset_of!(Boot, vdso_end)).saturating_sub(base);
    (base != 0).then_some(Vdso {
        base,
        len,
        vvar,
        vvar_len: base.saturating_sub(vvar),
    })
}

/// Waits until the zygote stands behind its filter: its first call comes then.
fn wait_for_zygote(pid: i32, channel: &SharedMap) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while channel.load(offset_of!(Control, turn)) != TURN_ASLEEP {
        if process::reap_if_dead(pid) {
            return Err(failed("start the zygote: it died")(Errno::ECHILD));
        }
        if Instant::now() > deadline {
            return Err(failed("start the zygote")(Errno::ETIMEDOUT));
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}

fn fetch_listener(pid: i32, number: i64) -> Result<Listener> {
    let number = i32::try_from(number)
        .map_err(|_| Errno::EBADF)
        .map_err(failed("take the listener"))?;
    let pidfd = process::pidfd_open(pid).map_err(failed("open a pidfd"))?;
    let fd = process::pidfd_getfd(pidfd.as_fd(), number);
    Ok(Listener::new(fd.map_err(failed(
        "take the listener (is ptrace restricted by yama?)",
    ))?))
}

/// The first two hand-overs: the zygote closes its copy of the listener, so that no fork has one.
fn close_listener_there(hub: &Hub, thread: &Thread, number: i64) -> abi::errno::Result<()> {
    let first = hub.listener.recv()?;
    let mut batch = Batch::default();
    batch.push(reply::close(number.cast_unsigned()));
    reply::write(
        thread,
        &batch,
        &Ending {
            resume: None,
            init_fpu: true,
            spin: 0,
        },
    );
    thread
        .process
        .channel
        .swap(offset_of!(Control, turn), crate::guest::layout::TURN_REPLY);
    hub.listener.send(first.id, Answer::Zero)?;
    let second = hub.listener.recv()?;
    thread.rang(second.id);
    Ok(())
}
