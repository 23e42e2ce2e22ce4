//! Carrying out the Sentry's orders.

use core::arch::asm;

use crate::stub_abi::{
    BOOT_CHANNEL_FD, CHANNEL_BASE, CHANNEL_BYTES, CONTROL_BYTES, Control, FORK_FLAGS, HELLO, MAX_ORDERS, NR_DOORBELL,
    ORDER_CLONE, ORDER_CMPXCHG, ORDER_COPY, ORDER_EXIT, ORDER_FORK, ORDER_SYSCALL, Order, RING, SLOT_BYTES, STACK_BYTES,
    STACK_STRIDE, THREAD_FLAGS, stack_top,
};
use crate::sys::{self, UContext};
use crate::{Thread, copy, serve_new};

const EFAULT: i64 = -14;

/// Carries out the orders in the channel; false if one failed. The count and the last result are in the channel then.
pub fn carry_out(thread: &Thread) -> bool {
    let c = thread.control;
    // SAFETY: the channel is this thread's.
    let count = unsafe { (*c).n_orders as usize }.min(MAX_ORDERS);
    for i in 0..count {
        // SAFETY: as above, and `i` is below the bound.
        let (order, result) = unsafe {
            let order = (&raw const (*c).orders).cast::<Order>().add(i).read();
            (order, one(thread, &order))
        };
        // SAFETY: as above.
        unsafe {
            (*c).result = result;
            (*c).orders_done = i as u64;
        }
        if order.kind != ORDER_COPY && (-4095..0).contains(&result) {
            return false;
        }
    }
    // SAFETY: as above.
    unsafe { (*c).orders_done = count as u64 };
    true
}

unsafe fn one(thread: &Thread, order: &Order) -> i64 {
    let a = &order.args;
    // SAFETY: the Sentry orders changes of guest memory, and the filter bounds the rest.
    unsafe {
        match order.kind {
            ORDER_SYSCALL => sys::syscall(order.nr as u64, *a),
            ORDER_COPY => {
                let from = thread.control as u64 + CONTROL_BYTES + a[2];
                copy::bytes(a[0], from, a[1]) as i64
            }
            ORDER_CMPXCHG => match copy::cmpxchg(a[0], a[1] as u32, a[2] as u32) {
                Some(old) => old as i64,
                None => EFAULT,
            },
            ORDER_FORK => fork(thread, a[0]),
            ORDER_CLONE => clone_thread(thread, a[0], a[1]),
            ORDER_EXIT => sys::syscall(sys::EXIT, [0; 6]),
            _ => sys::die(),
        }
    }
}

/// A host fork of this process. The child goes on here, on its copy of this stack.
unsafe fn fork(thread: &Thread, token: u64) -> i64 {
    // SAFETY: the child has a copy of everything but the channel area, which it replaces before use.
    unsafe {
        let pid = sys::syscall(sys::CLONE, [FORK_FLAGS, 0, 0, 0, 0, 0]);
        if pid != 0 {
            return pid;
        }
        adopt_process(token);
        serve_new(*thread, RING, 0)
    }
}

/// In a new process: gets the channel area from the Sentry.
unsafe fn adopt_process(token: u64) {
    const PR_SET_PDEATHSIG: u64 = 1;
    const SIGKILL: u64 = 9;
    // SAFETY: replaces the parent's channel area in this process.
    unsafe {
        sys::syscall(sys::PRCTL, [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0]);
        // The answer is the number of the channel's fd.
        let fd = sys::syscall(NR_DOORBELL, [HELLO, token, 0, 0, 0, 0]);
        if fd < 0 || !map_channel(fd as u64) {
            sys::die();
        }
    }
}

/// Maps the channel area and closes its fd.
pub unsafe fn map_channel(fd: u64) -> bool {
    const READ_WRITE: u64 = 3;
    const SHARED_FIXED: u64 = 0x11;
    // SAFETY: the range is the platform's.
    unsafe {
        let at = sys::syscall(sys::MMAP, [CHANNEL_BASE, CHANNEL_BYTES, READ_WRITE, SHARED_FIXED, fd, 0]);
        sys::syscall(sys::CLOSE, [fd, 0, 0, 0, 0, 0]);
        at == CHANNEL_BASE as i64
    }
}

/// Maps the signal stack of a slot.
pub unsafe fn map_stack(slot: u64) -> i64 {
    const READ_WRITE: u64 = 3;
    const PRIVATE_FIXED_ANONYMOUS: u64 = 0x32;
    let at = stack_top(slot) - STACK_BYTES;
    // SAFETY: the range is the platform's, and no thread uses the slot.
    unsafe { sys::syscall(sys::MMAP, [at, STACK_BYTES, READ_WRITE, PRIVATE_FIXED_ANONYMOUS, !0, 0]) }
}

/// Tells the kernel about the signal stack of a slot.
pub unsafe fn set_stack(slot: u64) -> i64 {
    let stack = sys::AltStack { sp: stack_top(slot) - STACK_BYTES, flags: 0, size: STACK_BYTES };
    // SAFETY: the kernel reads the structure.
    unsafe { sys::syscall(sys::SIGALTSTACK, [&raw const stack as u64, 0, 0, 0, 0, 0]) }
}

/// A thread in `slot`, with a copy of this thread's signal frame at the same place of its stack.
unsafe fn clone_thread(thread: &Thread, slot: u64, token: u64) -> i64 {
    // SAFETY: the new stack is nobody's until the thread runs.
    unsafe {
        let mapped = map_stack(slot);
        if mapped < 0 {
            return mapped;
        }
        let delta = slot.wrapping_sub(thread.slot).wrapping_mul(STACK_STRIDE);
        let frame = thread.uc as u64 - 8;
        copy::bytes(frame.wrapping_add(delta), frame, stack_top(thread.slot) - frame);
        let uc = (thread.uc as u64).wrapping_add(delta) as *mut UContext;
        (*uc).stack.sp = (*uc).stack.sp.wrapping_add(delta);
        let fp = thread.fp.wrapping_add(delta);
        // The thread starts below its frame, 16-byte aligned, with what it needs pushed.
        let start = ((uc as u64 - 256) & !15) as *mut u64;
        start.write(token);
        start.add(1).write(uc as u64);
        start.add(2).write(fp);
        start.add(3).write(slot);
        let result: i64;
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, rsp",
            "call {entry}",
            "ud2",
            "2:",
            entry = sym thread_entry,
            inlateout("rax") sys::CLONE as i64 => result,
            in("rdi") THREAD_FLAGS, in("rsi") start, in("rdx") 0, in("r10") 0, in("r8") 0,
            lateout("rcx") _, lateout("r11") _,
        );
        result
    }
}

/// First function of a new thread: `start` is as `clone_thread` wrote it.
unsafe extern "C" fn thread_entry(start: *const u64) -> ! {
    // SAFETY: written by the parent, on this thread's own stack.
    unsafe {
        let [token, uc, fp, slot] = start.cast::<[u64; 4]>().read();
        set_stack(slot);
        let control = (CHANNEL_BASE + slot * SLOT_BYTES) as *mut Control;
        serve_new(Thread { control, uc: uc as *mut UContext, slot, fp }, HELLO, token)
    }
}

/// The zygote's channel area.
pub unsafe fn map_boot_channel() -> bool {
    // SAFETY: as `map_channel`.
    unsafe { map_channel(BOOT_CHANNEL_FD) }
}
