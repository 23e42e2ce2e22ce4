//! What a handler sees and what it may change: frames, alternate stacks, vector state, faults.

use std::arch::asm;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use tests::prelude::*;

static SEEN: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicU64 = AtomicU64::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDR: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_stack(_: i32) {
    let here = 0;
    SEEN.store(&raw const here as usize, SeqCst);
    HITS.fetch_add(1, SeqCst);
}

extern "C" fn step_over(signal: i32, info: *mut siginfo_t, context: *mut c_void) {
    unsafe {
        let context = &mut *context.cast::<ucontext_t>();
        LAST.store(signal, SeqCst);
        CODE.store((*info).si_code, SeqCst);
        ADDR.store((*info).si_addr() as usize, SeqCst);
        SEEN.store(context.uc_mcontext.gregs[REG_RIP as usize] as usize, SeqCst);
        context.uc_mcontext.gregs[REG_RIP as usize] += SIZE.load(SeqCst) as i64;
        HITS.fetch_add(1, SeqCst);
    }
}

extern "C" fn change_rax(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    unsafe { (*context.cast::<ucontext_t>()).uc_mcontext.gregs[REG_RBX as usize] = 0x77 };
}

extern "C" fn change_mask(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    unsafe { sigaddset(&mut (*context.cast::<ucontext_t>()).uc_sigmask, SIGUSR2) };
}

/// Overwrites every vector register.
extern "C" fn trash_vectors(_: i32) {
    unsafe {
        asm!("pcmpeqd xmm0, xmm0", "movdqa xmm1, xmm0", "movdqa xmm7, xmm0", "movdqa xmm15, xmm0", "fninit", "fldz",
             out("xmm0") _, out("xmm1") _, out("xmm7") _, out("xmm15") _);
        if is_x86_feature_detected!("avx") {
            asm!("vxorps ymm7, ymm7, ymm7", out("ymm7") _);
        }
        if is_x86_feature_detected!("avx512f") {
            asm!("vpxorq zmm20, zmm20, zmm20", "kxorw k3, k3, k3", out("zmm20") _, out("k3") _);
        }
    }
    HITS.fetch_add(1, SeqCst);
}

extern "C" fn reads_a_pipe(_: i32) {
    unsafe {
        let mut byte = 0_u8;
        read(SEEN.load(SeqCst) as i32, (&raw mut byte).cast(), 1);
        HITS.fetch_add(i32::from(byte), SeqCst);
    }
}

unsafe fn alt_stack(size: usize) -> usize {
    let at = ok(mmap(
        null_mut(),
        size,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    ));
    ok(sigaltstack(
        &stack_t {
            ss_sp: at,
            ss_flags: 0,
            ss_size: size,
        },
        null_mut(),
    ));
    at as usize
}

unsafe fn skip_fault(signal: i32, bytes: u64) {
    SIZE.store(bytes, SeqCst);
    handle(signal, step_over as *const () as usize, SA_SIGINFO);
}

tests::cases! {
    fn handler_runs_on_the_alternate_stack() {
        let at = alt_stack(65536);
        handle(SIGUSR1, note_stack as *const () as usize, SA_ONSTACK);
        ok(raise(SIGUSR1));
        yes((at..at + 65536).contains(&SEEN.load(SeqCst)));
        handle(SIGUSR1, note_stack as *const () as usize, 0);
        ok(raise(SIGUSR1));
        yes(!(at..at + 65536).contains(&SEEN.load(SeqCst)));
    }
    fn sigaltstack_reports_and_checks() {
        let at = alt_stack(65536);
        let mut old: stack_t = zeroed();
        ok(sigaltstack(null(), &mut old));
        eq((old.ss_sp as usize, old.ss_size, old.ss_flags), (at, 65536, 0));
        fails(ENOMEM, sigaltstack(&stack_t { ss_sp: at as *mut c_void, ss_flags: 0, ss_size: 100 }, null_mut()));
        fails(EINVAL, sigaltstack(&stack_t { ss_sp: at as *mut c_void, ss_flags: 99, ss_size: 65536 }, null_mut()));
        ok(sigaltstack(&stack_t { ss_sp: null_mut(), ss_flags: SS_DISABLE, ss_size: 0 }, null_mut()));
        ok(sigaltstack(null(), &mut old));
        eq(old.ss_flags, SS_DISABLE);
    }
    fn altstack_saves_a_stack_overflow() {
        let pid = spawn(|| {
            extern "C" fn leave(_: i32) { unsafe { _exit(21) } }
            setrlimit(RLIMIT_STACK, &rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 });
            alt_stack(65536);
            handle(SIGSEGV, leave as *const () as usize, SA_ONSTACK);
            fn deep(n: usize) -> usize {
                let space = [n; 1024];
                if std::hint::black_box(n) == usize::MAX { 0 } else { deep(n + 1) + std::hint::black_box(&space)[3] }
            }
            deep(0) as i32
        });
        wait_exit(pid, 21);
    }
    fn unusable_stack_kills() {
        let pid = spawn(|| {
            handle(SIGUSR1, note_stack as *const () as usize, 0);
            asm!("mov rsp, 8", "mov edi, {pid:e}", "mov esi, 10", "mov eax, 62", "syscall", "ud2",
                 pid = in(reg) getpid(), options(noreturn));
        });
        wait_signal(pid, SIGSEGV);
    }
    fn faulting_address_and_ip_are_told() {
        skip_fault(SIGSEGV, 3);
        let ip: usize;
        asm!("lea {ip}, [rip + 2f]", "2: mov byte ptr [r8], al", ip = out(reg) ip, in("r8") 0x123_usize, in("al") 0_u8);
        eq(SEEN.load(SeqCst), ip);
        eq((LAST.load(SeqCst), CODE.load(SeqCst), ADDR.load(SeqCst)), (SIGSEGV, 1, 0x123));
        yes(hits() >= 1);
    }
    fn illegal_instruction_is_sigill() {
        skip_fault(SIGILL, 2);
        asm!("ud2");
        eq((LAST.load(SeqCst), CODE.load(SeqCst)), (SIGILL, 2));
        eq(ADDR.load(SeqCst), SEEN.load(SeqCst));
    }
    fn divide_by_zero_is_sigfpe() {
        skip_fault(SIGFPE, 2);
        asm!("div {0:e}", in(reg) 0_u32, inout("eax") 1_u32 => _, inout("edx") 0_u32 => _);
        eq((LAST.load(SeqCst), CODE.load(SeqCst)), (SIGFPE, 1));
        eq(ADDR.load(SeqCst), SEEN.load(SeqCst));
    }
    fn breakpoint_is_sigtrap() {
        skip_fault(SIGTRAP, 0);
        asm!("int3");
        eq((LAST.load(SeqCst), CODE.load(SeqCst)), (SIGTRAP, SI_KERNEL));
    }
    fn trap_flag_gives_sigtrap() {
        skip_fault(SIGTRAP, 0);
        extern "C" fn clear(_: i32, info: *mut siginfo_t, context: *mut c_void) {
            unsafe { (*context.cast::<ucontext_t>()).uc_mcontext.gregs[REG_EFL as usize] &= !0x100 };
            CODE.store(unsafe { (*info).si_code }, SeqCst);
            HITS.fetch_add(1, SeqCst);
        }
        handle(SIGTRAP, clear as *const () as usize, SA_SIGINFO);
        asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop");
        eq((hits(), CODE.load(SeqCst)), (1, 2));
    }
    fn privileged_instruction_is_sigsegv() {
        skip_fault(SIGSEGV, 1);
        asm!("hlt");
        eq((LAST.load(SeqCst), CODE.load(SeqCst)), (SIGSEGV, SI_KERNEL));
    }
    fn blocked_fault_kills() {
        catch(SIGSEGV, 0);
        block(&[SIGSEGV]);
        wait_signal(spawn(|| { (8 as *mut u8).write_volatile(1); 0 }), SIGSEGV);
    }
    fn ignored_fault_kills() {
        signal(SIGSEGV, SIG_IGN);
        wait_signal(spawn(|| { (8 as *mut u8).write_volatile(1); 0 }), SIGSEGV);
    }
    fn handler_changes_registers() {
        handle(SIGUSR1, change_rax as *const () as usize, SA_SIGINFO);
        let value: u64;
        asm!("push rbx", "mov ebx, 1", "syscall", "mov {out}, rbx", "pop rbx", out = out(reg) value,
             inout("rax") 62_u64 => _, in("rdi") getpid() as u64, in("rsi") SIGUSR1 as u64, out("rcx") _, out("r11") _);
        eq(value, 0x77);
    }
    fn handler_changes_the_mask_after_return() {
        handle(SIGUSR1, change_mask as *const () as usize, SA_SIGINFO);
        ok(raise(SIGUSR1));
        let mut now = set_of(&[]);
        ok(sigprocmask(SIG_BLOCK, null(), &mut now));
        eq(sigismember(&now, SIGUSR2), 1);
    }
    fn sse_and_x87_survive_a_handler() {
        handle(SIGUSR1, trash_vectors as *const () as usize, 0);
        let (mut a, mut b, mut x) = (0_u64, 0_u64, 0.0_f64);
        let pi = 3.25_f64;
        asm!("movq xmm0, {v}", "movq xmm15, {v}", "fld qword ptr [{pi}]", "syscall",
             "movq {v}, xmm0", "movq {w}, xmm15", "fstp qword ptr [{x}]",
             v = inout(reg) 0x1122_3344_5566_7788_u64 => a, w = out(reg) b, pi = in(reg) &pi, x = in(reg) &raw mut x,
             inout("rax") 62_u64 => _, in("rdi") getpid() as u64, in("rsi") SIGUSR1 as u64,
             out("rcx") _, out("r11") _, out("xmm0") _, out("xmm15") _);
        eq((hits(), a, b, x), (1, 0x1122_3344_5566_7788, 0x1122_3344_5566_7788, 3.25));
        let _ = (&mut a, &mut b);
    }
    fn avx_upper_halves_survive_a_handler() {
        if !is_x86_feature_detected!("avx") { skip("no avx"); }
        handle(SIGUSR1, trash_vectors as *const () as usize, 0);
        let (input, mut output) = ([1_u64, 2, 3, 4], [0_u64; 4]);
        asm!("vmovdqu ymm7, [{i}]", "syscall", "vmovdqu [{o}], ymm7", i = in(reg) &input, o = in(reg) &mut output,
             inout("rax") 62_u64 => _, in("rdi") getpid() as u64, in("rsi") SIGUSR1 as u64,
             out("rcx") _, out("r11") _, out("ymm7") _);
        eq(output, input);
    }
    fn avx512_and_masks_survive_a_handler() {
        if !is_x86_feature_detected!("avx512f") { skip("no avx512"); }
        handle(SIGUSR1, trash_vectors as *const () as usize, 0);
        let (input, mut output, mask) = ([1_u64, 2, 3, 4, 5, 6, 7, 8], [0_u64; 8], 0x5a5a_u32);
        let mut mask_out = 0_u32;
        asm!("vmovdqu64 zmm20, [{i}]", "kmovw k3, {m:e}", "syscall", "vmovdqu64 [{o}], zmm20", "kmovw {m:e}, k3",
             i = in(reg) &input, o = in(reg) &mut output, m = inout(reg) mask => mask_out,
             inout("rax") 62_u64 => _, in("rdi") getpid() as u64, in("rsi") SIGUSR1 as u64,
             out("rcx") _, out("r11") _, out("zmm20") _, out("k3") _);
        eq((output, mask_out), (input, mask));
        let _ = &mut mask_out;
    }
    fn vectors_survive_switches_and_fork() {
        let (input, mut output) = ([5_u64, 6, 7, 8], [0_u64; 4]);
        asm!("movdqu xmm9, [{i}]", "syscall", "movdqu [{o}], xmm9", i = in(reg) &input, o = in(reg) &mut output,
             inout("rax") 24_u64 => _, out("rcx") _, out("r11") _, out("xmm9") _);
        eq(&output[..2], &input[..2]);
        let pid: u64;
        asm!("movdqu xmm9, [{i}]", "syscall", "movdqu [{o}], xmm9", i = in(reg) &input, o = in(reg) &mut output,
             inout("rax") 57_u64 => pid, out("rcx") _, out("r11") _, out("xmm9") _);
        if pid == 0 {
            _exit(i32::from(output[1] != 6));
        }
        wait_exit(pid as i32, 0);
    }
    fn mxcsr_is_kept_and_inherited() {
        let mut csr = 0x7f80_u32;
        asm!("ldmxcsr [{0}]", in(reg) &csr);
        sched_yield();
        csr = 0;
        asm!("stmxcsr [{0}]", in(reg) &mut csr);
        eq(csr & 0xffc0, 0x7f80);
        in_child(|| {
            let mut csr = 0_u32;
            asm!("stmxcsr [{0}]", in(reg) &mut csr);
            eq(csr & 0xffc0, 0x7f80);
        });
    }
    fn handler_in_a_blocking_read_may_call() {
        let (r, w) = pipe(0);
        SEEN.store(r as usize, SeqCst);
        handle(SIGUSR1, reads_a_pipe as *const () as usize, SA_RESTART);
        put_fd(w, &[5]);
        let (r2, w2) = pipe(0);
        let me = getpid();
        let child = spawn(|| { sleep_ms(30); kill(me, SIGUSR1); sleep_ms(30); put_fd(w2, b"z"); 0 });
        eq(get_fd(r2, 1), b"z");
        eq(hits(), 5);
        wait_exit(child, 0);
    }
    fn direction_flag_is_clear_in_handler_and_restored() {
        static FLAGS: AtomicU64 = AtomicU64::new(0);
        extern "C" fn flags(_: i32) {
            let f: u64;
            unsafe { asm!("pushfq", "pop {}", out(reg) f) };
            FLAGS.store(f, SeqCst);
        }
        handle(SIGUSR1, flags as *const () as usize, 0);
        let after: u64;
        asm!("std", "syscall", "pushfq", "pop {f}", "cld", f = out(reg) after,
             inout("rax") 62_u64 => _, in("rdi") getpid() as u64, in("rsi") SIGUSR1 as u64, out("rcx") _, out("r11") _);
        eq((FLAGS.load(SeqCst) & 0x400, after & 0x400), (0, 0x400));
    }
    fn red_zone_is_respected() {
        handle(SIGUSR1, note_stack as *const () as usize, 0);
        let value: u64;
        asm!("mov qword ptr [rsp - 64], 0x99", "syscall", "mov {v}, [rsp - 64]", v = out(reg) value,
             inout("rax") 62_u64 => _, in("rdi") getpid() as u64, in("rsi") SIGUSR1 as u64, out("rcx") _, out("r11") _);
        eq((hits(), value), (1, 0x99));
    }
    fn forged_sigreturn_kills_or_faults() {
        let pid = spawn(|| { asm!("mov rsp, 64", "mov eax, 15", "syscall", "ud2", options(noreturn)) });
        wait_signal(pid, SIGSEGV);
    }
}
