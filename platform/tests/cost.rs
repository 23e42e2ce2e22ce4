//! Prints what the primitives cost; asserts only that they work. Run with `--nocapture`.

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

use std::time::Instant;

use common::{Sandbox, map, ret, syscall};
use platform::{MemOp, Prot, Trap};

guest_code!(getpid, "2: mov eax, 39", "syscall", "jmp 2b");
guest_code!(
    writer,
    "2: mov eax, 1",
    "mov edi, 1",
    "mov rsi, 0x500000",
    "mov edx, 4096",
    "syscall",
    "jmp 2b"
);
guest_code!(
    toucher,
    "2: mov eax, 9",
    "syscall",
    "mov dword ptr [rax], 1",
    "mov eax, 11",
    "syscall",
    "jmp 2b"
);

/// Prints the time of one of `n` rounds.
fn report(what: &str, n: u32, start: Instant) {
    eprintln!(
        "{what:40} {:8.2} us",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(n)
    );
}

#[test]
fn print_costs() {
    let sandbox = Sandbox::without_leader();
    sandbox.drive(async {
        const N: u32 = 20_000;
        let (_space, mut ctx) = sandbox.load(getpid()).await;
        for _ in 0..1000 {
            syscall(&mut *ctx).await;
        }
        let start = Instant::now();
        for _ in 0..N {
            syscall(&mut *ctx).await;
            ret(&mut *ctx, 1);
        }
        report("getpid", N, start);

        let (space, mut ctx) = sandbox.load(writer()).await;
        let mut buf = [0u8; 4096];
        let start = Instant::now();
        for _ in 0..N {
            syscall(&mut *ctx).await;
            assert_eq!(space.read(0x50_0000, &mut buf), 4096);
        }
        report("write 4096, fetched", N, start);
        // Where nothing travels, the two lines are one.
        let carries = !common::on_ptrace();
        let start = Instant::now();
        for _ in 0..if carries { N } else { 0 } {
            syscall(&mut *ctx).await;
            assert_eq!(ctx.carried(0x50_0000, 4096).map(<[u8]>::len), Some(4096));
        }
        report("write 4096, carried", N, start);
        let start = Instant::now();
        for _ in 0..if carries { N } else { 0 } {
            syscall(&mut *ctx).await;
            assert!(ctx.carry_back(0x50_0000, &buf));
        }
        report("read 4096, carried", N, start);

        let (_space, mut ctx) = sandbox.load(toucher()).await;
        let start = Instant::now();
        for _ in 0..N / 4 {
            syscall(&mut *ctx).await;
            ctx.queue(map(0x60_0000, 4096, Prot::READ | Prot::WRITE));
            ret(&mut *ctx, 0x60_0000);
            syscall(&mut *ctx).await;
            ctx.queue(MemOp::Unmap {
                addr: 0x60_0000,
                len: 4096,
            });
        }
        report("mmap + touch + munmap", N / 4, start);

        let (_space, mut ctx) = sandbox.load(getpid()).await;
        syscall(&mut *ctx).await;
        const FORKS: u32 = 500;
        let start = Instant::now();
        for _ in 0..FORKS {
            let (_space, mut child) = ctx.fork().await.unwrap();
            syscall(&mut *child).await;
        }
        report("fork + getpid + end", FORKS, start);
        let start = Instant::now();
        for _ in 0..FORKS {
            let mut thread = ctx.clone_thread().await.unwrap();
            syscall(&mut *thread).await;
        }
        report("thread + getpid + end", FORKS, start);
        let start = Instant::now();
        for _ in 0..FORKS {
            ctx.exec().await.unwrap();
        }
        report("exec", FORKS, start);

        let (_space, mut a) = sandbox.load(getpid()).await;
        let (_space, mut b) = sandbox.load(getpid()).await;
        let start = Instant::now();
        for _ in 0..N / 2 {
            assert!(matches!(a.run().await, Trap::Syscall));
            assert!(matches!(b.run().await, Trap::Syscall));
        }
        report("two processes taking turns, each", N, start);
    });
}

#[test]
#[ignore = "for profiling"]
fn fork_loop() {
    let sandbox = Sandbox::without_leader();
    sandbox.drive(async {
        let (_space, mut ctx) = sandbox.load(getpid()).await;
        syscall(&mut *ctx).await;
        for _ in 0..3000 {
            let (_space, mut child) = ctx.fork().await.unwrap();
            syscall(&mut *child).await;
        }
    });
}

#[test]
#[ignore = "for measuring placement"]
fn pinned() {
    let sandbox = Sandbox::without_leader();
    sandbox.drive(async {
        let (space, mut ctx) = sandbox.load(getpid()).await;
        let pin = |pid: i32, cpu: usize| {
            let mut set = rustix::thread::CpuSet::new();
            set.set(cpu);
            rustix::thread::sched_setaffinity(rustix::process::Pid::from_raw(pid), &set).unwrap();
        };
        for (what, a, b) in [("same core", 0, 0), ("other core", 0, 1)] {
            pin(0, a);
            pin(space.host_pid().unwrap(), b);
            for _ in 0..1000 {
                syscall(&mut *ctx).await;
            }
            const N: u32 = 50_000;
            let start = Instant::now();
            for _ in 0..N {
                syscall(&mut *ctx).await;
                ret(&mut *ctx, 1);
            }
            report(what, N, start);
        }
    });
}
