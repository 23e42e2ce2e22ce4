//! Faults, floating-point state, files, carried bytes, failures.

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

use std::os::fd::OwnedFd;
use std::sync::Arc;

use common::{CODE, DATA, Sandbox, block_on, map, ret, syscall};
use platform::{MapFlags, MemOp, Prot, Trap};

fn fault(trap: Trap) -> (i32, i32, u64) {
    match trap {
        Trap::Fault(f) => (f.signo, f.code, f.addr),
        other => panic!("{other:?}"),
    }
}

guest_code!(ill, "ud2");
guest_code!(fpe, "xor eax, eax", "cdq", "div eax");
guest_code!(trap, "int3", "ud2");
guest_code!(gp, "hlt");
guest_code!(int80, "mov eax, 20", "int 0x80");
guest_code!(ro, "mov dword ptr [0x400000], 1");

#[test]
fn exceptions_arrive_as_linux_tells_them() {
    let sandbox = Sandbox::new();
    block_on(async {
        for (code, signo, si_code, addr) in [
            (ill(), libc::SIGILL, 2, CODE),
            (fpe(), libc::SIGFPE, 1, CODE + 3),
            (trap(), libc::SIGTRAP, 0x80, 0),
            (gp(), libc::SIGSEGV, 0x80, 0),
            (int80(), libc::SIGSEGV, 0x80, 0),
            (ro(), libc::SIGSEGV, 2, CODE),
        ] {
            let (_space, mut ctx) = sandbox.load(code).await;
            assert_eq!(fault(ctx.run().await), (signo, si_code, addr));
            assert_eq!(ctx.regs().orig_rax, u64::MAX);
        }
        let (_space, mut ctx) = sandbox.load(trap()).await;
        fault(ctx.run().await);
        assert_eq!(ctx.regs().rip, CODE + 1);
        // A fault is repeated unless something changes.
        assert_eq!(fault(ctx.run().await).0, libc::SIGILL);
        assert_eq!(fault(ctx.run().await).0, libc::SIGILL);
    });
}

guest_code!(step, "nop", "nop", "nop");

#[test]
fn single_steps_trap() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (_space, mut ctx) = sandbox.load(step()).await;
        for i in 1..3 {
            ctx.regs_mut().eflags |= 0x100;
            assert_eq!(fault(ctx.run().await).0, libc::SIGTRAP);
            assert_eq!(ctx.regs().rip, CODE + i);
        }
    });
}

guest_code!(
    bases,
    "mov rdi, fs:[0]",
    "mov rsi, gs:[8]",
    "mov eax, 1",
    "syscall",
    "mov rdx, 0x500100",
    "wrfsbase rdx",
    "mov eax, 2",
    "syscall"
);

#[test]
fn segment_bases_travel_both_ways() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(bases()).await;
        space.write(DATA, &7u64.to_le_bytes());
        space.write(DATA + 0x48, &8u64.to_le_bytes());
        ctx.regs_mut().fs_base = DATA;
        ctx.regs_mut().gs_base = DATA + 0x40;
        assert_eq!(syscall(&mut *ctx).await.1[..2], [7, 8]);
        syscall(&mut *ctx).await;
        assert_eq!((ctx.regs().fs_base, ctx.regs().gs_base), (DATA + 0x100, DATA + 0x40));
    });
}

guest_code!(
    fpu,
    "mov eax, 0x1234",
    "vmovd xmm0, eax",
    "vpbroadcastd ymm3, xmm0",
    "mov eax, 57",
    "syscall",
    "vextracti128 xmm1, ymm3, 1",
    "vmovd edi, xmm1",
    "mov eax, 60",
    "syscall"
);

#[test]
fn floating_point_state_is_kept_copied_and_set() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (_space, mut ctx) = sandbox.load(fpu()).await;
        let fresh = ctx.fpu().unwrap();
        assert_eq!(syscall(&mut *ctx).await.0, 57);
        let image = ctx.fpu().unwrap();
        assert_eq!(fresh.len(), image.len());
        // AVX state: the upper half of ymm3 is at 576 + 3 * 16.
        assert_eq!(image[624..628], 0x1234u32.to_le_bytes());
        let (_s1, mut fork) = ctx.fork().await.unwrap();
        let mut clone = ctx.clone_thread().await.unwrap();
        for other in [&mut fork, &mut clone] {
            assert_eq!(other.fpu().unwrap(), image);
            assert_eq!(syscall(&mut **other).await.1[0], 0x1234);
        }
        // A thread of a clone, whose frame was itself a copy.
        let mut second = clone.clone_thread().await.unwrap();
        assert_eq!(second.fpu().unwrap()[624..628], 0x1234u32.to_le_bytes());
        second.regs_mut().rip = ctx.regs().rip;
        assert_eq!(syscall(&mut *second).await.1[0], 0x1234);

        let mut changed = image.clone();
        changed[624..628].copy_from_slice(&0x77u32.to_le_bytes());
        ctx.set_fpu(&changed).unwrap();
        assert_eq!(ctx.fpu().unwrap(), changed);
        assert_eq!(syscall(&mut *ctx).await.1[0], 0x77);

        for (at, byte) in [(27, 0xff), (519, 0x7f), (520, 1), (560, 1), (image.len() - 1, 0)] {
            let mut bad = image.clone();
            bad[at] = byte;
            assert_eq!(ctx.set_fpu(&bad), Err(abi::Errno::EINVAL), "byte {at}");
        }
        ctx.set_fpu(&[]).unwrap();
        assert_eq!(ctx.fpu().unwrap(), fresh);
        ctx.regs_mut().rip = CODE + 5 + 4 + 5 + 5 + 2;
        assert_eq!(syscall(&mut *ctx).await.1[0], 0);
    });
}

fn file(text: &[u8]) -> OwnedFd {
    let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::empty()).unwrap();
    rustix::io::pwrite(&fd, text, 0).unwrap();
    rustix::fs::ftruncate(&fd, 8192).unwrap();
    fd
}

guest_code!(
    filer,
    "mov rdi, [0x600000]",
    "mov qword ptr [0x600008], 3",
    "mov eax, 1",
    "syscall",
    "mov rdi, [0x601000]",
    "mov rdi, [0x602000]"
);

#[test]
fn files_are_mapped_and_leave_no_fd() {
    let sandbox = Sandbox::new();
    block_on(async {
        for flags in [MapFlags::empty(), MapFlags::SHARED | MapFlags::WRITABLE] {
            let (space, mut ctx) = sandbox.load(filer()).await;
            let fd = Arc::new(file(&[5, 0, 0, 0, 0, 0, 0, 0]));
            let prot = Prot::READ | Prot::WRITE;
            let file = Some((Arc::clone(&fd), 0));
            ctx.queue(MemOp::Map {
                addr: 0x60_0000,
                len: 0x3000,
                prot,
                flags,
                file,
            });
            assert_eq!(syscall(&mut *ctx).await.1[0], 5);
            let mut seen = [0u8; 1];
            rustix::io::pread(&*fd, &mut seen, 8).unwrap();
            assert_eq!(seen[0], if flags.is_empty() { 0 } else { 3 });
            // Behind the file's end.
            assert_eq!(fault(ctx.run().await), (libc::SIGBUS, 2, 0x60_2000));
            let fds = std::fs::read_dir(format!("/proc/{}/fd", space.host_pid().unwrap()))
                .unwrap()
                .count();
            assert_eq!(fds, 0);
        }
    });
}

#[test]
fn a_failed_operation_is_told_and_undoes_the_rest() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(filer()).await;
        let read_only = rustix::fs::open("/etc/passwd", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        let file = Some((Arc::new(read_only), 0));
        let prot = Prot::READ | Prot::WRITE;
        let bad = MemOp::Map {
            addr: 0x60_0000,
            len: 4096,
            prot,
            flags: MapFlags::SHARED | MapFlags::WRITABLE,
            file,
        };
        for flush in [false, true] {
            ctx.queue(map(0x70_0000, 4096, prot));
            ctx.queue(bad.clone());
            ctx.queue(map(0x71_0000, 4096, prot));
            let failure = if flush {
                ctx.flush().await.unwrap_err()
            } else {
                match ctx.run().await {
                    Trap::OpFailed(failure) => failure,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(failure.errno, abi::Errno::EACCES);
            assert_eq!(failure.op.range(), (0x60_0000, 4096));
            assert_eq!(space.read(0x70_0000, &mut [0]), 1);
            assert_eq!(space.read(0x71_0000, &mut [0]), 0);
        }
        // The guest has not run, and its fd table is empty once something else was ordered.
        assert_eq!(ctx.regs().rip, CODE);
        ctx.queue(map(0x60_0000, 0x3000, prot));
        assert_eq!(syscall(&mut *ctx).await.0, 1);
        let fds = std::fs::read_dir(format!("/proc/{}/fd", space.host_pid().unwrap()))
            .unwrap()
            .count();
        assert_eq!(fds, 0);
    });
}

#[test]
fn many_operations_in_one_go() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(filer()).await;
        for i in 0..200 {
            ctx.queue(map(0x60_0000 + i * 0x2000, 4096, Prot::READ | Prot::WRITE));
        }
        assert_eq!(syscall(&mut *ctx).await.0, 1);
        for i in 0..200 {
            assert_eq!(space.write(0x60_0000 + i * 0x2000, &[1; 5000]), 4096);
        }
        let word = |addr: u64| {
            let mut b = [0u8; 4];
            space.read(addr, &mut b);
            u32::from_le_bytes(b)
        };
        assert_eq!(ctx.cmpxchg(0x60_2000, 1, 2).await, Ok(0x0101_0101));
        assert_eq!(ctx.cmpxchg(0x60_2000, 0x0101_0101, 2).await, Ok(0x0101_0101));
        assert_eq!(word(0x60_2000), 2);
        assert_eq!(ctx.cmpxchg(0x20_2000, 1, 2).await, Err(abi::Errno::EFAULT));
        ctx.queue(MemOp::Remap {
            old: 0x60_2000,
            old_len: 4096,
            new: 0xa0_0000,
            new_len: 8192,
            keep: false,
        });
        ctx.queue(MemOp::Protect {
            addr: 0xa0_0000,
            len: 4096,
            prot: Prot::READ,
        });
        ctx.queue(MemOp::Advise {
            addr: 0x60_0000,
            len: 4096,
            advice: 4,
        });
        ctx.flush().await.unwrap();
        assert_eq!(
            (word(0xa0_0000), word(0x60_0000), space.read(0x60_2000, &mut [0])),
            (2, 0, 0)
        );
        assert_eq!(space.write(0xa0_0000, &[1]), 0);
        assert_eq!(space.write_force(0xa0_0000, &[9]), 1);
        assert_eq!(word(0xa0_0000), 9);
        assert_eq!(ctx.cmpxchg(0xa0_0000, 9, 2).await, Err(abi::Errno::EFAULT));
    });
}

guest_code!(
    path,
    "mov rsi, 0x51fff8",
    "mov eax, 257",
    "syscall",
    "mov rsi, 0x520000",
    "mov eax, 257",
    "syscall",
    "mov eax, 20",
    "mov rsi, 0x500000",
    "mov edx, 2",
    "syscall"
);

#[test]
fn bytes_travel_with_calls() {
    // Optional powers: on ptrace nothing travels.
    if common::on_ptrace() {
        return;
    }
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(path()).await;
        space.write(0x51_fff8, b"abc\0defg");
        syscall(&mut *ctx).await;
        assert_eq!(ctx.carried_from(0x51_fff8), b"abc\0");
        assert_eq!(ctx.carried_from(0x51_fff9), b"bc\0");
        assert_eq!(ctx.carried(0x51_fff8, 4), Some(&b"abc\0"[..]));
        assert_eq!(ctx.carried(0x51_fff8, 5), None);
        assert_eq!(ctx.carried(0x51_fff7, 1), None);
        // Up to the edge of what is mapped, and behind it.
        space.write(0x51_fff8, b"abcdefgh");
        ctx.regs_mut().rip = CODE;
        syscall(&mut *ctx).await;
        assert_eq!(ctx.carried_from(0x51_fff8), b"abcdefgh");
        syscall(&mut *ctx).await;
        assert_eq!(ctx.carried_from(0x52_0000), b"");
        let iov = [0x50_1000u64, 5, 0x50_2000, 3].map(u64::to_le_bytes).concat();
        space.write(DATA, &iov);
        space.write(0x50_1000, b"hello");
        space.write(0x50_2000, b"you");
        assert!(ctx.carry_back(0x51_0000, b"back"));
        assert!(ctx.carry_back(0x51_0010, b"again"));
        syscall(&mut *ctx).await;
        assert_eq!(ctx.carried(DATA, 32), Some(&iov[..]));
        assert_eq!(ctx.carried(0x50_1000, 5), Some(&b"hello"[..]));
        assert_eq!(ctx.carried(0x50_2000, 3), Some(&b"you"[..]));
        let mut got = [0u8; 21];
        space.read(0x51_0000, &mut got);
        assert_eq!(&got, b"back\0\0\0\0\0\0\0\0\0\0\0\0again");
    });
}

guest_code!(
    clock,
    "sub rsp, 64",
    "mov rsi, rsp",
    "xor edi, edi",
    "call rax",
    "mov rdi, [rsp]",
    "mov eax, 60",
    "syscall"
);

#[test]
fn the_vdso_tells_the_time_without_a_call() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(clock()).await;
        let vdso = ctx.vdso().expect("the host has one");
        assert!(vdso.base >= sandbox.platform.guest_end() && vdso.len > 0 && vdso.vvar_len > 0);
        assert_eq!(vdso.vvar + vdso.vvar_len, vdso.base);
        let mut image = vec![0u8; usize::try_from(vdso.len).unwrap()];
        assert_eq!(
            platform::host::vm::read(space.host_pid().unwrap(), vdso.base, &mut image),
            image.len()
        );
        ctx.regs_mut().rax = vdso.base + symbol(&image, "__vdso_clock_gettime");
        let (nr, args) = syscall(&mut *ctx).await;
        assert_eq!(nr, 60);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(args[0].abs_diff(now) < 3);
    });
}

#[test]
fn diverted_clocks_ask_in_forks_too() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (space, mut ctx) = sandbox.load(clock()).await;
        let vdso = ctx.vdso().expect("the host has one");
        let mut image = vec![0u8; usize::try_from(vdso.len).unwrap()];
        platform::host::vm::read(space.host_pid().unwrap(), vdso.base, &mut image);
        ctx.regs_mut().rax = vdso.base + symbol(&image, "__vdso_clock_gettime");
        space.divert_clocks(&vdso).unwrap();
        let (_, mut child) = ctx.fork().await.unwrap();
        for ctx in [&mut ctx, &mut child] {
            let (nr, args) = syscall(&mut **ctx).await;
            assert_eq!((nr, args[0]), (228, 0));
        }
    });
}

/// The value of a dynamic symbol of a 64-bit image whose section headers are there.
fn symbol(image: &[u8], name: &str) -> u64 {
    let u64_at = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap()) as usize;
    let u32_at = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let u16_at = |at: usize| u16::from_le_bytes(image[at..at + 2].try_into().unwrap()) as usize;
    let section = |i: usize| u64_at(40) + i * 64;
    let dynsym = (0..u16_at(60)).map(section).find(|s| u32_at(s + 4) == 11).unwrap();
    let strings = u64_at(section(u32_at(dynsym + 40)) + 24);
    let (offset, size) = (u64_at(dynsym + 24), u64_at(dynsym + 32));
    let entry = (offset..offset + size)
        .step_by(24)
        .find(|at| image[strings + u32_at(*at)..].starts_with(format!("{name}\0").as_bytes()));
    u64_at(entry.unwrap() + 8) as u64
}

guest_code!(count, "2: inc rbx", "mov eax, 39", "syscall", "jmp 2b");

#[test]
fn interrupts_are_never_lost() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (_space, mut ctx) = sandbox.load(count()).await;
        let (kick, wanted) = (ctx.interrupter(), Arc::new(std::sync::atomic::AtomicBool::new(true)));
        let flag = Arc::clone(&wanted);
        let other = std::thread::spawn(move || {
            while flag.load(std::sync::atomic::Ordering::SeqCst) {
                kick.interrupt();
                std::thread::yield_now();
            }
        });
        let (mut calls, mut last) = (0, 0);
        for _ in 0..20_000 {
            match ctx.run().await {
                Trap::Syscall => {
                    assert_eq!(ctx.regs().rbx, last + 1);
                    last += 1;
                    calls += 1;
                    ret(&mut *ctx, 0);
                }
                Trap::Interrupted => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(calls > 0);
        wanted.store(false, std::sync::atomic::Ordering::SeqCst);
        other.join().unwrap();
        ctx.interrupter().interrupt();
        assert!(matches!(ctx.run().await, Trap::Interrupted));
    });
}

#[test]
fn forks_of_forks_and_of_threads() {
    let sandbox = Sandbox::new();
    block_on(async {
        let (_space, mut ctx) = sandbox.load(count()).await;
        syscall(&mut *ctx).await;
        for _ in 0..100 {
            let mut thread = ctx.clone_thread().await.unwrap();
            let (_s, mut child) = thread.fork().await.unwrap();
            let mut grandthread = child.clone_thread().await.unwrap();
            let (_s, mut grandchild) = grandthread.fork().await.unwrap();
            assert_eq!(syscall(&mut *grandchild).await.0, 39);
            assert_eq!(syscall(&mut *child).await.0, 39);
            assert_eq!(syscall(&mut *thread).await.0, 39);
            // Generations go on below the youngest.
            drop(std::mem::replace(&mut ctx, grandchild));
        }
    });
}
