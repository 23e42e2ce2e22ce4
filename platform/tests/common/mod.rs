//! A tiny Sentry: a leader thread that waits for guest events, and a way to block on a future.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails the test")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Cx, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

use platform::{AddressSpace, Context, MapFlags, MemOp, OpenOptions, Platform, Prot, Trap};

/// Where the guest's code goes.
pub const CODE: u64 = 0x40_0000;
/// Where its data and stack are.
pub const DATA: u64 = 0x50_0000;
/// Bytes of data.
pub const DATA_LEN: u64 = 0x2_0000;

/// Guest machine code, assembled into this program's read-only data.
macro_rules! guest_code {
    ($name:ident, $($line:literal),* $(,)?) => {
        core::arch::global_asm!(
            ".pushsection .rodata",
            concat!(".globl guest_", stringify!($name)),
            concat!("guest_", stringify!($name), ":"),
            $($line,)*
            concat!(".globl guest_end_", stringify!($name)),
            concat!("guest_end_", stringify!($name), ":"),
            ".popsection",
        );
        fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!("guest_", stringify!($name))]
                static BEGIN: u8;
                #[link_name = concat!("guest_end_", stringify!($name))]
                static END: u8;
            }
            // SAFETY: the labels bracket the lines above.
            unsafe {
                let (begin, end) = (&raw const BEGIN, &raw const END);
                core::slice::from_raw_parts(begin, end as usize - begin as usize)
            }
        }
    };
}

/// An open platform with its leader.
pub struct Sandbox {
    pub platform: Arc<dyn Platform>,
    stop: Arc<AtomicBool>,
    leader: Option<JoinHandle<()>>,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

struct UnparkLeader(Arc<dyn Platform>);

impl Wake for UnparkLeader {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// `basic_ptrace.rs` is `basic.rs` again, and so on.
pub fn on_ptrace() -> bool {
    env!("CARGO_CRATE_NAME").ends_with("_ptrace")
}

/// Runs a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Cx::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(out) => return out,
            Poll::Pending => thread::park(),
        }
    }
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let mut sandbox = Sandbox::without_leader();
        let (p, s) = (Arc::clone(&sandbox.platform), Arc::clone(&sandbox.stop));
        sandbox.leader = Some(thread::spawn(move || {
            while !s.load(Ordering::SeqCst) {
                if !p.wait() {
                    thread::park_timeout(std::time::Duration::from_millis(10));
                }
            }
        }));
        sandbox
    }

    /// One whose leader is the thread that calls [`Sandbox::drive`]: for measuring without a hop.
    pub fn without_leader() -> Sandbox {
        let name = if on_ptrace() { "ptrace" } else { "systrap" };
        let proc = rustix::fs::open("/proc", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).ok();
        let platform = platform::open(name, OpenOptions { proc }).unwrap();
        Sandbox {
            platform,
            stop: Arc::new(AtomicBool::new(false)),
            leader: None,
        }
    }

    /// A new process with `code` at [`CODE`], writable memory at [`DATA`] and the stack pointer at its end.
    pub async fn load(&self, code: &[u8]) -> (Arc<dyn AddressSpace>, Box<dyn Context>) {
        let (space, mut ctx) = self.platform.new_process().await.unwrap();
        load_into(&*space, &mut *ctx, code).await;
        (space, ctx)
    }

    /// Ends the leader's thread.
    pub fn stop_leader(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while self.leader.as_ref().is_some_and(|l| !l.is_finished()) {
            self.platform.unpark();
            thread::sleep(std::time::Duration::from_millis(1));
        }
        if let Some(leader) = self.leader.take() {
            leader.join().unwrap();
        }
    }

    /// Runs a future on this thread, which is the leader while it waits. Needs [`Sandbox::without_leader`].
    pub fn drive<F: Future>(&self, future: F) -> F::Output {
        // Threads of the platform wake too, the reaper for one, while this one waits.
        let waker = Waker::from(Arc::new(UnparkLeader(Arc::clone(&self.platform))));
        let mut cx = Cx::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(out) => return out,
                Poll::Pending => {
                    self.platform.wait();
                }
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop_leader();
    }
}

/// Puts code into an empty address space and sets the registers to run it.
pub async fn load_into(space: &dyn AddressSpace, ctx: &mut dyn Context, code: &[u8]) {
    ctx.queue(map(CODE, 0x1_0000, Prot::READ | Prot::WRITE));
    ctx.queue(map(DATA, DATA_LEN, Prot::READ | Prot::WRITE));
    ctx.flush().await.unwrap();
    assert_eq!(space.write(CODE, code), code.len());
    ctx.queue(MemOp::Protect {
        addr: CODE,
        len: 0x1_0000,
        prot: Prot::READ | Prot::EXEC,
    });
    let regs = ctx.regs_mut();
    regs.rip = CODE;
    regs.rsp = DATA + DATA_LEN;
}

/// Anonymous private memory.
pub fn map(addr: u64, len: u64, prot: Prot) -> MemOp {
    MemOp::Map {
        addr,
        len,
        prot,
        flags: MapFlags::empty(),
        file: None,
    }
}

/// Runs to the next system call and gives its number and arguments.
pub async fn syscall(ctx: &mut dyn Context) -> (u64, [u64; 6]) {
    match ctx.run().await {
        Trap::Syscall => (ctx.regs().orig_rax, ctx.regs().args()),
        other => panic!("{other:?} at {:#x?}", ctx.regs()),
    }
}

/// Sets the result of a call.
pub fn ret(ctx: &mut dyn Context, value: u64) {
    ctx.regs_mut().rax = value;
}
