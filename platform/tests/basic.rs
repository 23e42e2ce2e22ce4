//! Guest code runs, traps, and has its memory changed.

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

use common::{CODE, DATA, Sandbox, block_on, map, ret, syscall};
use platform::{MemOp, Prot, Trap};

guest_code!(
    count,
    "xor ebx, ebx",
    "2: mov eax, 39",
    "mov edi, ebx",
    "syscall",
    "add rbx, rax",
    "jmp 2b"
);

#[test]
fn a_call_traps_and_its_result_arrives() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (_space, mut ctx) = sandbox.load(count()).await;
        for i in 0..100 {
            let (nr, args) = syscall(&mut *ctx).await;
            assert_eq!((nr, args[0]), (39, i));
            assert_eq!(ctx.regs().rip, CODE + 2 + 5 + 2 + 2);
            ret(&mut *ctx, 1);
        }
    });
}

guest_code!(
    poke,
    "mov rdi, 0x600000",
    "mov qword ptr [rdi], 77",
    "mov eax, 1",
    "syscall",
    "mov rax, [rdi]",
    "mov rdi, rax",
    "mov eax, 60",
    "syscall"
);

#[test]
fn memory_is_mapped_written_and_unmapped() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(poke()).await;
        match ctx.run().await {
            Trap::Fault(f) => assert_eq!((f.signo, f.addr, f.code), (11, 0x60_0000, 1)),
            other => panic!("{other:?}"),
        }
        ctx.queue(map(0x60_0000, 4096, Prot::READ | Prot::WRITE));
        assert_eq!(syscall(&mut *ctx).await.0, 1);
        let mut word = [0u8; 8];
        assert_eq!(space.read(0x60_0000, &mut word), 8);
        assert_eq!(u64::from_le_bytes(word), 77);
        assert_eq!(space.write(0x60_0000, &99u64.to_le_bytes()), 8);
        let (nr, args) = syscall(&mut *ctx).await;
        assert_eq!((nr, args[0]), (60, 99));
        // Reads stop at the end of what is mapped.
        let mut long = vec![0u8; 8192];
        assert_eq!(space.read(0x60_0ff0, &mut long), 16);
        ctx.queue(MemOp::Unmap {
            addr: 0x60_0000,
            len: 4096,
        });
        ctx.flush().await.unwrap();
        assert_eq!(space.read(0x60_0000, &mut word), 0);
    });
}

guest_code!(
    forker,
    "mov r12, 0x500000",
    "mov qword ptr [r12], 5",
    "mov eax, 57",
    "syscall",
    "mov rdi, rax",
    "add [r12], rax",
    "mov rsi, [r12]",
    "mov eax, 39",
    "syscall",
    "mov eax, 60",
    "syscall"
);

#[test]
fn fork_copies_memory_and_registers() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut parent) = sandbox.load(forker()).await;
        assert_eq!(syscall(&mut *parent).await.0, 57);
        let (child_space, mut child) = parent.fork().await.unwrap();
        ret(&mut *parent, 1000);
        ret(&mut *child, 0);
        assert_eq!(syscall(&mut *child).await.1[..2], [0, 5]);
        assert_eq!(syscall(&mut *parent).await.1[..2], [1000, 1005]);
        assert_eq!(child_space.write(DATA, &[9; 8]), 8);
        let mut word = [0u8; 8];
        space.read(DATA, &mut word);
        assert_eq!(u64::from_le_bytes(word), 1005);
        assert_ne!(space.host_pid(), child_space.host_pid());
        drop(parent);
        assert_eq!(syscall(&mut *child).await.0, 60);
    });
}

guest_code!(
    thread,
    "mov eax, 56",
    "syscall",
    "mov rdi, rax",
    "2: mov eax, 39",
    "syscall",
    "jmp 2b"
);

#[test]
fn threads_share_memory() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut main) = sandbox.load(thread()).await;
        assert_eq!(syscall(&mut *main).await.0, 56);
        let mut threads = Vec::new();
        for i in 1..=100 {
            let mut t = main.clone_thread().await.unwrap();
            ret(&mut *t, i);
            assert_eq!(syscall(&mut *t).await, (39, t.regs().args()));
            assert_eq!(t.regs().rdi, i);
            threads.push(t);
        }
        let mut last = threads.pop().unwrap();
        drop(threads);
        last.queue(map(0x60_0000, 4096, Prot::READ | Prot::WRITE));
        last.flush().await.unwrap();
        assert_eq!(space.write(0x60_0000, &[1]), 1);
        drop(main);
        ret(&mut *last, 0);
        assert_eq!(syscall(&mut *last).await.0, 39);
        assert_eq!(space.read(0x60_0000, &mut [0]), 1);
    });
}

#[test]
fn exec_gives_an_empty_address_space() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (old, mut ctx) = sandbox.load(count()).await;
        let kick = ctx.interrupter();
        syscall(&mut *ctx).await;
        let new = ctx.exec().await.unwrap();
        assert_eq!(new.read(CODE, &mut [0]), 0);
        assert_ne!(old.host_pid(), new.host_pid());
        common::load_into(&*new, &mut *ctx, count()).await;
        assert_eq!(syscall(&mut *ctx).await.0, 39);
        kick.interrupt();
        assert!(matches!(ctx.run().await, Trap::Interrupted));
        assert_eq!(syscall(&mut *ctx).await.0, 39);
    });
}

guest_code!(spin, "2: inc rbx", "jmp 2b");

#[test]
fn a_spinning_guest_is_interrupted_and_killed() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(spin()).await;
        let kick = ctx.interrupter();
        for _ in 0..20 {
            let kick = kick.clone();
            let other = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(2));
                kick.interrupt();
            });
            assert!(matches!(ctx.run().await, Trap::Interrupted));
            other.join().unwrap();
        }
        let pid = space.host_pid().unwrap();
        let other = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(5));
            platform::host::process::kill(pid, 9).unwrap();
        });
        assert!(matches!(ctx.run().await, Trap::Gone));
        other.join().unwrap();
        assert!(matches!(ctx.run().await, Trap::Gone));
    });
}
