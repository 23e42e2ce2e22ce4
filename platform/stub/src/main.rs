//! The guest-side stub: a freestanding program, mapped above the guest's range in every guest process.
//!
//! It holds no secret and keeps no promise: guest code can read it, replace it and jump into it, and the filter alone
//! bounds what comes of that. Guest threads enter it by host signals (`on_signal`), hand their registers to the Sentry and
//! do what it orders. No libc, no thread-local storage, no guest stack.

#![no_std]
#![no_main]

mod boot;
mod carry;
mod copy;
mod orders;
#[allow(dead_code, reason = "some constants are for the Sentry's side")]
mod stub_abi;
#[allow(dead_code, reason = "structures are whole even where fields are not used")]
mod sys;

use core::sync::atomic::{AtomicU32, Ordering};

use stub_abi::{
    CHANNEL_BASE, Control, FPU_INIT, KIND_FAULT, KIND_HELLO, KIND_INTERRUPT, KIND_REPORT, KIND_SYSCALL, NR_DOORBELL, RING,
    SIG_INTERRUPT, SLOT_BYTES, SLOTS, STACK_BASE, STACK_STRIDE, STUB_BASE, STUB_TEXT_END, THEN_RESUME, TURN_ASLEEP,
    TURN_GUEST, TURN_REPLY, TURN_REQUEST,
};
use sys::{SIGBUS, SIGSEGV, SIGSYS, SigContext, SigInfo, UContext};

/// Positions in `Control::regs`, the order of `struct user_regs_struct`.
const ORIG_RAX: usize = 15;
const FS_BASE: usize = 21;
const GS_BASE: usize = 22;

const ARCH_X86_64: u32 = 0xc000_003e;
const EFLAGS_AC: u64 = 1 << 18;

/// One thread's place: its channel and its signal frame.
#[derive(Clone, Copy)]
pub struct Thread {
    control: *mut Control,
    uc: *mut UContext,
    slot: u64,
    /// Where the frame's floating-point image is; the frame's own pointer is zero while the initial state is wished.
    fp: u64,
}

/// Every handled signal comes here, on the thread's signal stack, with all signals but SIGSEGV and SIGBUS blocked.
///
/// # Safety
/// Called by the kernel as a signal handler.
unsafe extern "C" fn on_signal(signo: i32, info: *const SigInfo, uc: *mut UContext) -> ! {
    // SAFETY: the kernel passes a frame on this stack; nobody else uses it.
    let mc = unsafe { &mut (*uc).mc };
    if mc.eflags & EFLAGS_AC != 0 {
        // SAFETY: clears the alignment check flag, which would fault on this code's own accesses.
        unsafe { core::arch::asm!("pushfq", "and dword ptr [rsp], 0xfffbffff", "popfq") };
    }
    let slot = (uc as u64).wrapping_sub(STACK_BASE) / STACK_STRIDE;
    if slot >= SLOTS {
        sys::die();
    }
    let control = (CHANNEL_BASE + slot * SLOT_BYTES) as *mut Control;
    let thread = Thread { control, uc, slot, fp: mc.fpstate };
    if STUB_BASE <= mc.rip && mc.rip < STUB_TEXT_END {
        if (signo == SIGSEGV || signo == SIGBUS)
            && let Some(rip) = copy::fixup(mc.rip)
        {
            mc.rip = rip;
            leave(uc);
        }
        // SAFETY: a mapped slot, or a fault that ends the process.
        if signo != SIG_INTERRUPT || unsafe { (*control).boot } == 0 {
            sys::die();
        }
        boot::finish(&thread);
    }
    // SAFETY: as above; the channel is this thread's until it says otherwise.
    unsafe {
        save(control, mc);
        match signo {
            SIGSYS => syscall_request(control, mc, &*info),
            SIG_INTERRUPT => (*control).kind = KIND_INTERRUPT,
            _ => fault_request(control, mc, signo, (*info).code, (*info).addr),
        }
    }
    serve(thread, RING, 0)
}

/// Notes a system call and carries its bytes.
unsafe fn syscall_request(control: *mut Control, mc: &mut SigContext, info: &SigInfo) {
    // SAFETY: the caller's channel.
    unsafe {
        if info.arch != ARCH_X86_64 {
            // `int 0x80`: as on a kernel without 32-bit emulation, a general protection fault at the instruction.
            mc.rip = mc.rip.wrapping_sub(2);
            (*control).regs[16] = mc.rip;
            mc.trapno = 13;
            mc.err = 0x80 * 8 + 2;
            fault_request(control, mc, SIGSEGV, 128, 0);
            return;
        }
        (*control).kind = KIND_SYSCALL;
        (*control).regs[ORIG_RAX] = mc.rax;
        carry::carry(control, mc.rax & 0xffff_ffff, &[mc.rdi, mc.rsi, mc.rdx, mc.r10, mc.r8, mc.r9]);
    }
}

/// Notes an exception.
unsafe fn fault_request(control: *mut Control, mc: &SigContext, signo: i32, code: i32, addr: u64) {
    // SAFETY: the caller's channel.
    unsafe {
        (*control).kind = KIND_FAULT;
        (*control).signo = signo;
        (*control).code = code;
        (*control).fault_addr = addr;
        (*control).trapno = mc.trapno;
        (*control).err = mc.err;
        (*control).cr2 = mc.cr2;
    }
}

/// A new thread or process starts here; its first answer sets its registers.
pub fn serve_new(thread: Thread, what: u64, token: u64) -> ! {
    // SAFETY: the channel is this thread's until it says otherwise.
    unsafe {
        save(thread.control, &(*thread.uc).mc);
        (*thread.control).kind = KIND_HELLO;
    }
    serve(thread, what, token)
}

/// Hands over, does what is ordered, until guest code is to run.
pub fn serve(thread: Thread, mut what: u64, token: u64) -> ! {
    let c = thread.control;
    // SAFETY: the channel is this thread's whenever `wait` has returned, and ours are the only writes to the frame.
    unsafe {
        (*c).fp_addr = thread.fp;
        loop {
            wait(c, what, token);
            what = RING;
            match (*c).fpu {
                FPU_INIT => (*thread.uc).mc.fpstate = 0,
                _ => (*thread.uc).mc.fpstate = thread.fp,
            }
            let complete = orders::carry_out(&thread);
            (*c).done = (*c).done.wrapping_add(1);
            if complete && (*c).then == THEN_RESUME {
                restore(c, &mut (*thread.uc).mc);
                turn(c).store(TURN_GUEST, Ordering::Release);
                leave(thread.uc)
            }
            (*c).kind = KIND_REPORT;
        }
    }
}

/// The word that says whose turn it is.
unsafe fn turn<'a>(control: *mut Control) -> &'a AtomicU32 {
    // SAFETY: an aligned word of the channel, which both sides use atomically only.
    unsafe { AtomicU32::from_ptr(&raw mut (*control).turn) }
}

/// Gives the channel to the Sentry and waits until it is ours again.
unsafe fn wait(control: *mut Control, what: u64, token: u64) {
    // SAFETY: the caller's channel.
    let (turn, spin) = unsafe { (turn(control), (&raw const (*control).spin).read_volatile()) };
    turn.store(if spin > 0 { TURN_REQUEST } else { TURN_ASLEEP }, Ordering::Release);
    for _ in 0..spin {
        if turn.load(Ordering::Acquire) == TURN_REPLY {
            return;
        }
        core::hint::spin_loop();
    }
    if spin > 0 && turn.compare_exchange(TURN_REQUEST, TURN_ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return;
    }
    loop {
        ring(what, token);
        if turn.load(Ordering::Acquire) == TURN_REPLY {
            return;
        }
    }
}

/// Rings the doorbell; returns when the Sentry has answered the notification.
pub fn ring(what: u64, token: u64) {
    const EINTR: i64 = -4;
    // SAFETY: no such system call exists; the filter turns it into a notification.
    match unsafe { sys::syscall(NR_DOORBELL, [what, token, 0, 0, 0, 0]) } {
        0 | EINTR => {}
        // The Sentry is no more.
        _ => sys::die(),
    }
}

/// Copies the frame's registers to the channel.
unsafe fn save(control: *mut Control, mc: &SigContext) {
    let (fs_base, gs_base);
    // SAFETY: the caller's channel; the instructions exist unless the Sentry says otherwise.
    unsafe {
        if (*control).no_fsgsbase == 0 {
            core::arch::asm!("rdfsbase {}", "rdgsbase {}", out(reg) fs_base, out(reg) gs_base);
        } else {
            (fs_base, gs_base) = (arch_prctl_get(0x1003), arch_prctl_get(0x1004));
        }
        (*control).n_carried = 0;
        (*control).regs = [
            mc.r15, mc.r14, mc.r13, mc.r12, mc.rbp, mc.rbx, mc.r11, mc.r10, mc.r9, mc.r8, mc.rax, mc.rcx, mc.rdx, mc.rsi,
            mc.rdi, !0, mc.rip, mc.cs as u64, mc.eflags, mc.rsp, mc.ss as u64, fs_base, gs_base, 0, 0, mc.fs as u64,
            mc.gs as u64,
        ];
    }
}

/// Copies the channel's registers to the frame. Selectors stay as they are.
unsafe fn restore(control: *const Control, mc: &mut SigContext) {
    // SAFETY: the caller's channel; the kernel checks the flags and addresses at `rt_sigreturn`.
    unsafe {
        if (*control).set_regs == 0 {
            return;
        }
        let r = &(*control).regs;
        [
            mc.r15, mc.r14, mc.r13, mc.r12, mc.rbp, mc.rbx, mc.r11, mc.r10, mc.r9, mc.r8, mc.rax, mc.rcx, mc.rdx, mc.rsi,
            mc.rdi, _, mc.rip, _, mc.eflags, mc.rsp, _, _, _, _, _, _, _,
        ] = *r;
        let (fs_base, gs_base) = (r[FS_BASE], r[GS_BASE]);
        if (*control).no_fsgsbase == 0 {
            core::arch::asm!("wrfsbase {}", "wrgsbase {}", in(reg) fs_base, in(reg) gs_base);
        } else {
            sys::syscall(sys::ARCH_PRCTL, [0x1002, fs_base, 0, 0, 0, 0]);
            sys::syscall(sys::ARCH_PRCTL, [0x1001, gs_base, 0, 0, 0, 0]);
        }
    }
}

unsafe fn arch_prctl_get(code: u64) -> u64 {
    let mut out = 0u64;
    // SAFETY: writes one word on this stack.
    unsafe { sys::syscall(sys::ARCH_PRCTL, [code, &raw mut out as u64, 0, 0, 0, 0]) };
    out
}

/// `rt_sigreturn` from the frame that holds `uc`.
fn leave(uc: *mut UContext) -> ! {
    // SAFETY: the kernel takes the frame 8 bytes below the stack pointer, and the context is the frame's second field.
    unsafe { core::arch::asm!("mov rsp, {}", "syscall", in(reg) uc, in("rax") sys::RT_SIGRETURN, options(noreturn)) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::die()
}

/// The core library's tables name it; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
