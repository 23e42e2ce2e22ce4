//! Hostile guests on ptrace: what they reach by jumping into the stub's text, and what is left when the tracer ends.

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

use std::time::{Duration, Instant};

use common::{CODE, DATA, Sandbox, block_on, syscall};
use platform::Trap;
use platform::host::vm;

const STUB: u64 = 0x7ff0_0000_0000;

guest_code!(tell, "mov rdi, rax", "mov eax, 1000", "syscall");
guest_code!(write_stub, "mov rax, 0x7ff000000000", "mov byte ptr [rax], 1");

/// Address of the `syscall` in the stub's text.
fn gate(pid: i32) -> u64 {
    let mut text = [0u8; 4096];
    assert!(vm::read(pid, STUB, &mut text) > 0);
    let at = text.windows(3).position(|w| w == [0x0f, 0x05, 0xcc]);
    STUB + at.expect("no system call in the stub's text: the test tests nothing") as u64
}

#[test]
fn every_call_from_the_stubs_text_is_caught() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(tell()).await;
        space.write(DATA, b"/tmp/escaped-from-ptrace\0");
        let pid = space.host_pid().unwrap();
        let gate = gate(pid);
        ctx.flush().await.unwrap();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        for nr in (0..500).chain([0x2a5a, 0x4000_0000 + 2, 1 << 32, u64::MAX]) {
            let regs = ctx.regs_mut();
            (regs.rip, regs.rax, regs.rdi, regs.rsi) = (gate, nr, DATA, 0o102);
            (regs.rdx, regs.r10, regs.r8, regs.r9) = (0o600, 0x22, u64::MAX, 0);
            assert_eq!(syscall(&mut *ctx).await.0, nr);
            assert_eq!(ctx.regs().rip, gate + 2);
        }
        // No thread, no process, no mapping, no file came of it.
        assert_eq!(std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap(), maps);
        assert!(!std::fs::exists("/tmp/escaped-from-ptrace").unwrap());
        // The breakpoint behind it is the guest's own affair.
        match ctx.run().await {
            Trap::Fault(f) => assert_eq!(f.signo, libc::SIGTRAP),
            other => panic!("{other:?}"),
        }
        ctx.regs_mut().rip = CODE;
        assert_eq!(syscall(&mut *ctx).await.0, 1000);
    });
}

#[test]
fn the_stubs_text_cannot_be_written() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (_space, mut ctx) = sandbox.load(write_stub()).await;
        match ctx.run().await {
            Trap::Fault(f) => assert_eq!((f.signo, f.addr, f.code), (libc::SIGSEGV, STUB, 2)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_compare_and_exchange_faults_where_the_guest_would() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(tell()).await;
        space.write(DATA, &5u32.to_le_bytes());
        assert_eq!(ctx.cmpxchg(DATA, 5, 6).await, Ok(5));
        assert_eq!(ctx.cmpxchg(DATA, 5, 7).await, Ok(6));
        // Not mapped; read-only.
        for addr in [0x70_0000, CODE] {
            assert_eq!(ctx.cmpxchg(addr, 0, 1).await, Err(abi::Errno::EFAULT));
        }
        assert_eq!(syscall(&mut *ctx).await.0, 1000);
    });
}

#[test]
fn guests_end_with_the_tracers_thread() {
    let mut sandbox = Sandbox::new();
    let mut all = Vec::new();
    block_on(async {
        for _ in 0..3 {
            let (space, mut ctx) = sandbox.load(tell()).await;
            syscall(&mut *ctx).await;
            let thread = ctx.clone_thread().await.unwrap();
            all.push((space.host_pid().unwrap(), ctx, thread));
        }
    });
    sandbox.stop_leader();
    let deadline = Instant::now() + Duration::from_secs(120);
    for (pid, ..) in &all {
        let lives = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "));
        while lives() {
            assert!(Instant::now() < deadline, "process {pid} lives");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
