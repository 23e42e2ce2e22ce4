//! What holds of guest processes on every platform: nothing too much in them, nothing left of them, no interrupt lost.

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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{CODE, DATA, DATA_LEN, Sandbox, block_on, map, ret, syscall};
use platform::{MemOp, Prot, Trap};

const STUB: u64 = 0x7ff0_0000_0000;

guest_code!(tell, "mov rdi, rax", "mov eax, 1000", "syscall");

guest_code!(
    direct,
    "mov eax, 39",
    "syscall",
    "mov ebx, 0xffffffff",
    "2: inc rbx",
    "jmp 2b"
);

#[test]
fn nothing_outlives_the_platform() {
    let mut pids = Vec::new();
    {
        let sandbox = Sandbox::new();
        block_on(async {
            let mut all = Vec::new();
            for _ in 0..5 {
                let (space, mut ctx) = sandbox.load(direct()).await;
                syscall(&mut *ctx).await;
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(ctx.poll_run(&mut cx).is_pending());
                pids.push(space.host_pid().unwrap());
                all.push(ctx);
            }
            // As after a crash: nobody ends the contexts in order.
            std::mem::forget(all);
        });
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    for pid in pids {
        while std::fs::exists(format!("/proc/{pid}")).unwrap() {
            assert!(Instant::now() < deadline, "process {pid} lives");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn guest_processes_hold_no_fd_and_no_privilege() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(tell()).await;
        syscall(&mut *ctx).await;
        let pid = space.host_pid().unwrap();
        assert_eq!(std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), 0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in [
            "CapEff:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(line), "{line}");
        }
        // Only the guest's own memory, the stub and the vDSO.
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        for line in maps.lines() {
            let start = u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
            assert!((CODE..DATA + DATA_LEN).contains(&start) || start >= STUB, "{line}");
            // The page of the title bears these names, to the kernel's mind.
            let named = line.contains("[stack]") || line.contains("[heap]");
            assert!(!named || start >= STUB, "{line}");
        }
    });
}

guest_code!(count, "2: inc rbx", "mov eax, 39", "syscall", "jmp 2b");

#[test]
fn interrupts_at_any_time_lose_nothing() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(count()).await;
        let kick = ctx.interrupter();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let storm = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                kick.interrupt();
                std::thread::sleep(Duration::from_micros(30));
            }
        });
        let memfd = rustix::fs::memfd_create("file", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&memfd, &[7u8; 4096]).unwrap();
        let memfd = Arc::new(memfd);
        let (mut calls, mut interrupts) = (0, 0);
        while calls < 300 || interrupts < 20 {
            let at = 0x60_0000;
            ctx.queue(match calls % 3 {
                0 => map(at, 4096, Prot::READ | Prot::WRITE),
                1 => MemOp::Map {
                    addr: at,
                    len: 4096,
                    prot: Prot::READ,
                    flags: platform::MapFlags::empty(),
                    file: Some((Arc::clone(&memfd), 0)),
                },
                _ => MemOp::Unmap { addr: at, len: 4096 },
            });
            if calls % 7 == 0 {
                ctx.flush().await.unwrap();
                let mut byte = [0xff];
                assert_eq!(space.read(at, &mut byte), usize::from(calls % 3 != 2));
                assert_eq!(byte[0], [0, 7, 0xff][calls % 3]);
            }
            match ctx.run().await {
                Trap::Syscall => {
                    calls += 1;
                    assert_eq!(ctx.regs().rbx, calls as u64);
                    ret(&mut *ctx, 0);
                }
                Trap::Interrupted => interrupts += 1,
                other => panic!("{other:?}"),
            }
        }
        // Children begin as ordered whatever comes meanwhile.
        for _ in 0..20 {
            let (_space, mut child) = ctx.fork().await.unwrap();
            let mut thread = ctx.clone_thread().await.unwrap();
            assert_eq!(syscall(&mut *child).await.0, 39);
            assert_eq!(syscall(&mut *thread).await.0, 39);
        }
        stop.store(true, Ordering::SeqCst);
        storm.join().unwrap();
    });
}

guest_code!(
    vsyscall,
    "mov rax, 0xffffffffff600000",
    "xor edi, edi",
    "xor esi, esi",
    "call rax",
    "ud2"
);

#[test]
fn the_legacy_vsyscall_page_is_no_way_out() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (_space, mut ctx) = sandbox.load(vsyscall()).await;
        match ctx.run().await {
            // gettimeofday, or no such page on this host.
            Trap::Syscall => assert_eq!(ctx.regs().orig_rax, 96),
            Trap::Fault(f) => assert_eq!(f.signo, libc::SIGSEGV),
            other => panic!("{other:?}"),
        }
    });
}
