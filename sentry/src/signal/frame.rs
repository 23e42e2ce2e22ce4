//! The signal frame of x86-64: `struct rt_sigframe`, written before a handler runs and read by `rt_sigreturn(2)`.
//!
//! From low to high addresses: return address, `ucontext`, `siginfo_t`, then (64-aligned) the floating-point image.

use abi::Errno;
use abi::errno::Result;
use abi::regs::{Regs, USER_CS, USER_DS};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::altstack::SS_AUTODISARM;
use super::info::Detail;
use super::{AltStack, SaFlags, SigAction, SigInfo, SigSet};
use crate::task::Cx;
use crate::usermem::UserAddr;

/// The floating-point image has extended state.
const UC_FP_XSTATE: u64 = 1;
/// `ss` is saved, and is restored exactly.
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

/// Bytes below the stack pointer that a function may use without moving it.
const RED_ZONE: u64 = 128;

/// `eflags` bits that `rt_sigreturn(2)` takes from the frame.
const FIX_EFLAGS: u64 = 0x5_0dd5;
const EFLAGS_DF: u64 = 0x400;
const EFLAGS_TF: u64 = 0x100;
const EFLAGS_RF: u64 = 0x1_0000;

/// `struct sigcontext`
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SigContext {
    /// r8..r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags.
    regs: [u64; 18],
    /// cs, gs, fs, ss: 16 bits each.
    segments: [u16; 4],
    err: u64,
    trapno: u64,
    oldmask: u64,
    cr2: u64,
    fpstate: u64,
    reserved: [u64; 8],
}

/// `struct rt_sigframe` up to the signal information.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Frame {
    pretcode: u64,
    uc_flags: u64,
    uc_link: u64,
    uc_stack: [u64; 3],
    context: SigContext,
    uc_sigmask: u64,
}

const FRAME_SIZE: u64 = 312;
const INFO_SIZE: u64 = 128;
const _: () = assert!(size_of::<Frame>() == 312, "as in Linux");

/// Writes the frame and makes the registers enter the handler. `mask` is what `rt_sigreturn(2)` restores.
pub(super) fn push(cx: &mut Cx, info: &SigInfo, action: &SigAction, mask: SigSet) -> Result<()> {
    let sa = action.sa();
    if !sa.contains(SaFlags::RESTORER) {
        // x86-64 has no other way back.
        return Err(Errno::EFAULT);
    }
    let fpu = cx.ctx.fpu()?;
    let regs = *cx.ctx.regs();
    let stack = cx.task.signals.lock().altstack;

    let on_stack = stack.in_use(regs.rsp);
    let mut sp = regs.rsp.wrapping_sub(RED_ZONE);
    let entering = sa.contains(SaFlags::ONSTACK) && !on_stack && stack.size != 0;
    if entering {
        sp = stack.top();
    }
    let fp_at = sp.wrapping_sub(abi::conv::usize64(fpu.len())) & !63;
    let at = (fp_at.wrapping_sub(FRAME_SIZE + INFO_SIZE) & !15).wrapping_sub(8);
    if (on_stack || entering) && !stack.holds(at) {
        return Err(Errno::EFAULT);
    }

    let context = save(cx, &regs, info, fp_at);
    let frame = Frame {
        pretcode: action.restorer,
        uc_flags: UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        uc_link: 0,
        uc_stack: stack_words(&stack),
        context,
        uc_sigmask: mask.0,
    };
    cx.write_bytes(UserAddr(fp_at), &fpu)?;
    let mut bytes = [0u8; 440];
    let (head, tail) = bytes.split_at_mut(312);
    head.copy_from_slice(frame.as_bytes());
    tail.copy_from_slice(&info.to_bytes());
    cx.write_bytes(UserAddr(at), &bytes)?;

    if stack.flags & SS_AUTODISARM != 0 {
        cx.task.signals.lock().altstack = AltStack::default();
    }
    cx.ctx.set_fpu(&[])?;
    let regs = cx.ctx.regs_mut();
    regs.rdi = u64::from(info.signal.number().unsigned_abs());
    regs.rax = 0;
    regs.rsi = at.wrapping_add(FRAME_SIZE);
    regs.rdx = at.wrapping_add(8);
    regs.rip = action.handler;
    regs.rsp = at;
    regs.cs = USER_CS;
    regs.ss = USER_DS;
    regs.eflags &= !(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
    regs.orig_rax = u64::MAX;
    Ok(())
}

fn stack_words(stack: &AltStack) -> [u64; 3] {
    [stack.sp, u64::from(stack.flags), stack.size]
}

fn save(cx: &Cx, r: &Regs, info: &SigInfo, fp_at: u64) -> SigContext {
    // Those of the exception that this signal tells of, or of the last one.
    let (trapno, err, cr2) = match info.detail {
        Detail::Fault { trapno, err, cr2, .. } => (trapno, err, cr2),
        _ => (cx.local.fault.trapno, cx.local.fault.err, cx.local.fault.cr2),
    };
    let mask = cx.task.sigmask();
    SigContext {
        regs: [
            r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx,
            r.rsp, r.rip, r.eflags,
        ],
        segments: [abi::conv::low16(USER_CS), 0, 0, abi::conv::low16(USER_DS)],
        err,
        trapno,
        oldmask: mask.0,
        cr2,
        fpstate: fp_at,
        reserved: [0; 8],
    }
}

fn restore(r: &mut Regs, context: &SigContext) {
    [
        r.r8,
        r.r9,
        r.r10,
        r.r11,
        r.r12,
        r.r13,
        r.r14,
        r.r15,
        r.rdi,
        r.rsi,
        r.rbp,
        r.rbx,
        r.rdx,
        r.rax,
        r.rcx,
        r.rsp,
        r.rip,
        _,
    ] = context.regs;
    let [.., eflags] = context.regs;
    r.eflags = (r.eflags & !FIX_EFLAGS) | (eflags & FIX_EFLAGS);
    r.cs = USER_CS;
    r.ss = USER_DS;
    r.orig_rax = u64::MAX;
}

/// `rt_sigreturn(2)`: everything as the frame says. An error means a bad frame, for which the task gets `SIGSEGV`.
pub(crate) fn pop(cx: &mut Cx) -> Result<()> {
    let at = cx.ctx.regs().rsp.wrapping_sub(8);
    let frame: Frame = cx.read_obj(UserAddr(at))?;
    cx.task.set_sigmask(SigSet(frame.uc_sigmask));
    let fpu = read_fpu(cx, frame.context.fpstate)?;
    cx.ctx.set_fpu(&fpu)?;
    restore(cx.ctx.regs_mut(), &frame.context);
    let sp = cx.ctx.regs().rsp;
    // As in Linux, what is wrong with the stack is not an error here.
    let _ = cx.task.signals.lock().altstack.set(frame.uc_stack, sp);
    Ok(())
}

/// `FP_XSTATE_MAGIC1`, at this offset of the image, followed by the size of all of it.
const MAGIC1: u32 = 0x4650_5853;
const MAGIC1_AT: usize = 464;
const LEGACY_SIZE: usize = 512;
/// More than any processor's extended state.
const FPU_MAX: usize = 16384;

fn read_fpu(cx: &Cx, at: u64) -> Result<Vec<u8>> {
    if at == 0 {
        return Ok(Vec::new());
    }
    let mut image = vec![0u8; LEGACY_SIZE];
    cx.read_bytes(UserAddr(at), &mut image)?;
    let word = |i: usize| {
        let bytes = image.get(i..i + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    if word(MAGIC1_AT) == MAGIC1 {
        let size = usize::try_from(word(MAGIC1_AT + 4)).unwrap_or(0);
        if (LEGACY_SIZE..=FPU_MAX).contains(&size) {
            image.resize(size, 0);
            cx.read_bytes(UserAddr(at), &mut image)?;
        }
    }
    Ok(image)
}
