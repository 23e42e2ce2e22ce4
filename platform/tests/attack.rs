//! Hostile guests: what they reach by jumping into the stub, replacing it or lying in the channel.
//!
//! The test plays the guest: it sets registers as guest code could, and writes to the stub's memory, which guest code can once
//! it has made it writable.

#![allow(unsafe_code, reason = "guest code is found by labels")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test helper fails the test"
)]

#[macro_use]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{CODE, DATA, DATA_LEN, Sandbox, block_on, syscall};
use platform::host::vm;
use platform::{AddressSpace, Context, Trap};

const STUB: u64 = 0x7ff0_0000_0000;
const STUB_LEN: u64 = 0x4000;
const DOORBELL: u64 = 0x2a5a;
/// Where the guest puts its own code: still stub text to the filter, behind what the stub uses.
const PLANT: u64 = STUB + STUB_LEN - 16;
/// A loop beside it.
const LOOP: u64 = PLANT + 8;

// Tells the result of what was tried.
guest_code!(tell, "mov rdi, rax", "mov eax, 1000", "syscall");

/// A process whose stub text the guest has made writable, with `syscall; jmp r15` at [`PLANT`].
struct Turned {
    space: Arc<dyn AddressSpace>,
    ctx: Box<dyn Context>,
}

/// Offset of a `syscall` in the stub after which control comes back to the caller when the result is zero.
async fn find_gadget(sandbox: &Sandbox) -> u64 {
    let (space, _ctx) = sandbox.load(tell()).await;
    let mut text = vec![0u8; STUB_LEN as usize];
    assert!(vm::read(space.host_pid().unwrap(), STUB, &mut text) > 0x1000);
    let sites = text
        .windows(2)
        .enumerate()
        .filter(|(_, w)| *w == [0x0f, 0x05])
        .map(|(i, _)| i as u64);
    for site in sites {
        if turn(sandbox, site).await.is_some() {
            return site;
        }
    }
    panic!("no gadget: the attacks below test nothing");
}

/// Makes the stub's text writable by its own `mprotect`, and puts an instruction of ours there.
async fn turn(sandbox: &Sandbox, gadget: u64) -> Option<Turned> {
    let (space, mut ctx) = sandbox.load(tell()).await;
    let stack = DATA + DATA_LEN - 4096;
    assert_eq!(space.write(stack, &CODE.to_le_bytes().repeat(512)), 4096);
    let regs = ctx.regs_mut();
    (regs.rip, regs.rsp, regs.rax) = (STUB + gadget, stack, 10);
    (regs.rdi, regs.rsi, regs.rdx) = (STUB, STUB_LEN, 7);
    match ctx.run().await {
        Trap::Syscall if ctx.regs().orig_rax == 1000 => {}
        _ => return None,
    }
    // syscall; jmp r15; and a jump to itself
    let pid = space.host_pid()?;
    assert_eq!(
        vm::write(pid, PLANT, &[0x0f, 0x05, 0x41, 0xff, 0xe7, 0, 0, 0, 0xeb, 0xfe]),
        10
    );
    Some(Turned { space, ctx })
}

impl Turned {
    /// Makes a system call from the stub's text; the result, or none if that ended the process.
    async fn call(&mut self, nr: u64, args: [u64; 6]) -> Option<u64> {
        let regs = self.ctx.regs_mut();
        (regs.rip, regs.r15, regs.rax, regs.rsp) = (PLANT, CODE, nr, DATA + DATA_LEN - 64);
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        match self.ctx.run().await {
            Trap::Syscall => Some(self.ctx.regs().rdi),
            Trap::Gone => None,
            other => panic!("call {nr}: {other:?}"),
        }
    }
}

#[test]
fn only_harmless_calls_come_through_a_turned_stub() {
    let sandbox = Sandbox::new();
    block_on(async {
        let gadget = find_gadget(&sandbox).await;
        let mut turned = turn(&sandbox, gadget).await.unwrap();
        turned.space.write(DATA, b"/tmp/escaped\0");
        for nr in (0..500).chain([0x4000_0000 + 2, 1 << 32, u64::MAX]) {
            // `exit` ends the thread quietly, `rt_sigreturn` needs a frame (its own test below). `uretprobe` and `uprobe` pass
            // every filter since Linux 6.14 and 6.18; they fail where no probe was set.
            if [60, 15, 335, 336].contains(&(nr & 0xffff_ffff)) {
                continue;
            }
            let args = [DATA, 0o102, 0o600, 0x22, u64::MAX, 0];
            let result = turned.call(nr, args).await;
            let expected = [3, 9, 10, 11, 25, 26, 131].contains(&(nr & 0xffff_ffff));
            assert_eq!(result.is_some(), expected, "call {nr}: {result:?}");
            if result.is_none() {
                turned = turn(&sandbox, gadget).await.unwrap();
                turned.space.write(DATA, b"/tmp/escaped\0");
            }
        }
        assert!(!std::fs::exists("/tmp/escaped").unwrap());
    });
}

#[test]
fn arguments_are_checked_by_the_filter() {
    let sandbox = Sandbox::new();
    block_on(async {
        let gadget = find_gadget(&sandbox).await;
        for (nr, args, survives) in [
            (9, [0, 4096, 3, 0x22, !0, 0], true),
            // Locked memory, huge pages.
            (9, [0, 4096, 3, 0x2022, !0, 0], false),
            (9, [0, 4096, 3, 0x4_0022, !0, 0], false),
            (28, [DATA, 4096, 4, 0, 0, 0], true),
            // Page merging, poisoning.
            (28, [DATA, 4096, 12, 0, 0, 0], false),
            (28, [DATA, 4096, 100, 0, 0, 0], false),
            (157, [1, 9, 0, 0, 0, 0], true),
            (157, [15, DATA, 0, 0, 0, 0], true),
            // No death signal, dumpable, seccomp.
            (157, [1, 0, 0, 0, 0, 0], false),
            (157, [4, 0, 0, 0, 0, 0], false),
            (157, [22, 2, 0, 0, 0, 0], false),
            (158, [0x1002, DATA, 0, 0, 0, 0], true),
            // Shadow stacks, extended features.
            (158, [0x5001, 1, 0, 0, 0, 0], false),
            (158, [0x1023, 18, 0, 0, 0, 0], false),
            // Forks and threads that nobody ordered.
            (56, [0x8000 | 17, 0, 0, 0, 0, 0], false),
            (56, [0x5_0f00, DATA, 0, 0, 0, 0], false),
            (56, [17, 0, 0, 0, 0, 0], false),
            (56, [0x1000_0000 | 17, 0, 0, 0, 0, 0], false),
        ] {
            let mut turned = turn(&sandbox, gadget).await.unwrap();
            let result = turned.call(nr, args).await;
            assert_eq!(result.is_some(), survives, "call {nr} {args:x?}: {result:?}");
        }
    });
}

#[test]
fn doorbells_rung_by_guest_code_harm_nobody_else() {
    let sandbox = Sandbox::new();
    block_on(async {
        let gadget = find_gadget(&sandbox).await;
        let (_space, mut innocent) = sandbox.load(tell()).await;
        for what in [0, 1, 2, u64::MAX] {
            let mut turned = turn(&sandbox, gadget).await.unwrap();
            let regs = turned.ctx.regs_mut();
            (regs.rip, regs.r15, regs.rax) = (PLANT, CODE, DOORBELL);
            (regs.rdi, regs.rsi) = (what, 0x1234);
            // Whatever the channel still says, or the end.
            let _ = turned.ctx.run().await;
        }
        assert_eq!(syscall(&mut *innocent).await.0, 1000);
    });
}

#[test]
fn a_forged_frame_cannot_escape_the_sandbox_nor_death() {
    let sandbox = Sandbox::new();
    block_on(async {
        let gadget = find_gadget(&sandbox).await;
        // `struct ucontext` at DATA: flags, link, stack, registers, mask.
        let frame = |rip: u64, mask: u64| {
            let mut words = [0u64; 38];
            words[5 + 15] = DATA + DATA_LEN - 256;
            words[5 + 16] = rip;
            words[5 + 17] = 0x202;
            words[5 + 18] = 0x2b << 48 | 0x33;
            words[37] = mask;
            words.map(u64::to_le_bytes).concat()
        };
        // With `SIGSYS` blocked the first call kills; with the interrupt blocked only a kill helps.
        let mut turned = turn(&sandbox, gadget).await.unwrap();
        turned.space.write(DATA, &frame(CODE, !0));
        let regs = turned.ctx.regs_mut();
        (regs.rip, regs.rax, regs.rsp) = (PLANT, 15, DATA);
        assert!(matches!(turned.ctx.run().await, Trap::Gone));

        let mut turned = turn(&sandbox, gadget).await.unwrap();
        turned.space.write(DATA, &frame(LOOP, !0));
        let regs = turned.ctx.regs_mut();
        (regs.rip, regs.rax, regs.rsp) = (PLANT, 15, DATA);
        let (space, kick) = (Arc::clone(&turned.space), turned.ctx.interrupter());
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            kick.interrupt();
            std::thread::sleep(Duration::from_millis(20));
            space.kill();
        });
        assert!(matches!(turned.ctx.run().await, Trap::Gone));
        killer.join().unwrap();
    });
}

guest_code!(
    caller,
    "2: mov eax, 1",
    "mov rsi, 0x500000",
    "mov edx, 100",
    "syscall",
    "jmp 2b"
);
// Random words over the channels of slots 0 and 1.
guest_code!(
    scribble,
    "mov rbx, 88172645463325252",
    "mov r8, 0x7ff010000000",
    "2:",
    "mov rax, rbx",
    "shl rax, 13",
    "xor rbx, rax",
    "mov rax, rbx",
    "shr rax, 7",
    "xor rbx, rax",
    "mov rax, rbx",
    "shl rax, 17",
    "xor rbx, rax",
    "mov rdx, rbx",
    "and rdx, 0x4ff8",
    "mov [r8+rdx], rbx",
    "jmp 2b"
);

#[test]
fn a_scribbled_channel_is_survived() {
    let sandbox = Sandbox::new();
    block_on(async {
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut survived = 0u64;
        while Instant::now() < deadline {
            let (space, mut a) = sandbox.load(caller()).await;
            assert_eq!(space.write(CODE, &[]), 0);
            vm::write(space.host_pid().unwrap(), CODE, &[]);
            syscall(&mut *a).await;
            let Ok(mut b) = a.clone_thread().await else { continue };
            // The second thread runs code of its own, from a page of its own.
            b.queue(common::map(
                0x60_0000,
                4096,
                platform::Prot::READ | platform::Prot::WRITE | platform::Prot::EXEC,
            ));
            b.flush().await.unwrap();
            space.write(0x60_0000, scribble());
            b.regs_mut().rip = 0x60_0000;
            let until = Instant::now() + Duration::from_millis(100);
            let killer_space = Arc::clone(&space);
            let killer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                killer_space.kill();
            });
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(b.poll_run(&mut cx).is_pending());
            while Instant::now() < until {
                match a.run().await {
                    Trap::Gone => break,
                    Trap::Syscall => {
                        let _ = (a.carried(0x50_0000, 100), a.carried_from(0x50_0000));
                        let _ = a.fpu();
                        a.queue(common::map(0x61_0000, 4096, platform::Prot::READ));
                        survived += 1;
                    }
                    _ => {}
                }
            }
            killer.join().unwrap();
            assert!(matches!(a.run().await, Trap::Gone));
        }
        eprintln!("{survived} calls through scribbled channels");
    });
}

#[test]
#[ignore = "takes seconds of processor time"]
fn a_thread_that_blocks_the_interrupt_is_ended() {
    let sandbox = Sandbox::new();
    block_on(async {
        let gadget = find_gadget(&sandbox).await;
        let mut turned = turn(&sandbox, gadget).await.unwrap();
        let mut words = [0u64; 38];
        (words[5 + 15], words[5 + 16], words[5 + 17], words[5 + 18], words[37]) =
            (DATA, LOOP, 0x202, 0x2b << 48 | 0x33, !0);
        turned.space.write(DATA, &words.map(u64::to_le_bytes).concat());
        let regs = turned.ctx.regs_mut();
        (regs.rip, regs.rax, regs.rsp) = (PLANT, 15, DATA);
        let kick = turned.ctx.interrupter();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            kick.interrupt();
        });
        assert!(matches!(turned.ctx.run().await, Trap::Gone));
        other.join().unwrap();
    });
}

#[test]
fn a_thread_that_ends_itself_is_gone_at_the_next_interrupt() {
    let sandbox = Sandbox::new();
    block_on(async {
        let gadget = find_gadget(&sandbox).await;
        let mut turned = turn(&sandbox, gadget).await.unwrap();
        let mut thread = turned.ctx.clone_thread().await.unwrap();
        let regs = thread.regs_mut();
        (regs.rip, regs.rax) = (PLANT, 60);
        let kick = thread.interrupter();
        let (ended, told) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            while told.recv_timeout(Duration::from_millis(50)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                kick.interrupt();
            }
        });
        // The first may come before it has got there.
        let mut interrupts = 0;
        loop {
            match thread.run().await {
                Trap::Gone => break,
                Trap::Interrupted if interrupts < 1000 => interrupts += 1,
                other => panic!("{other:?}"),
            }
        }
        drop(ended);
        other.join().unwrap();
        turned.ctx.regs_mut().rip = CODE;
        assert_eq!(syscall(&mut *turned.ctx).await.0, 1000);
    });
}
