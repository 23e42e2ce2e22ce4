//! What the stub and the Sentry agree on: addresses, the channel's layout, orders. Compiled into both.
//!
//! Nothing here is trusted by the Sentry: it reads a channel once, by volatile copies, and checks the copy.

/// First address that belongs to the platform: the stub's text stands here.
pub const STUB_BASE: u64 = 0x7ff0_0000_0000;
/// End of the text, as far as the filter is concerned.
pub const STUB_TEXT_END: u64 = STUB_BASE + 0x1_0000;
/// End of the guest's range, with an unmapped gap before the stub.
pub const GUEST_END: u64 = STUB_BASE - 0x1_0000;
/// Where the vDSO with its data pages is moved to.
pub const VDSO_BASE: u64 = STUB_BASE + 0x100_0000;
/// Where the channel area is mapped: one [`SLOT_BYTES`] per thread slot.
pub const CHANNEL_BASE: u64 = STUB_BASE + 0x1000_0000;
/// Bytes of a slot: the control page and the pages for carried bytes.
pub const SLOT_BYTES: u64 = 0x4000;
/// Bytes of the control page.
pub const CONTROL_BYTES: u64 = 0x1000;
/// Bytes for carried data.
pub const DATA_BYTES: u64 = SLOT_BYTES - CONTROL_BYTES;
/// Thread slots of a process.
pub const SLOTS: u64 = 4096;
/// Bytes of the channel area.
pub const CHANNEL_BYTES: u64 = SLOTS * SLOT_BYTES;
/// Where the signal stacks stand: one [`STACK_STRIDE`] per slot, its lower part unmapped.
pub const STACK_BASE: u64 = STUB_BASE + 0x2000_0000;
/// Distance between two signal stacks.
pub const STACK_STRIDE: u64 = 0x1_0000;
/// Bytes of a signal stack, at the upper end of its stride.
pub const STACK_BYTES: u64 = 0xc000;
/// A page with the process's name and title: what the host's `ps` shows as its command and command line. The Sentry writes it.
pub const TITLE_PAGE: u64 = STUB_BASE + 0x3000_0000;
/// Bytes of the name, first in the page, with the zero at its end: as Linux has it.
pub const NAME_BYTES: u64 = 16;
/// Where the title begins.
pub const TITLE_BASE: u64 = TITLE_PAGE + NAME_BYTES;
/// Bytes of the title, with the zero at its end.
pub const TITLE_BYTES: u64 = 0x1000 - NAME_BYTES;
/// End of the platform's fixed range.
pub const STUB_END: u64 = STUB_BASE + 0x4000_0000;

/// The fd number at which the zygote finds its channel area when it starts.
pub const BOOT_CHANNEL_FD: u64 = 3;
/// The call that only the Sentry answers. No Linux number is near.
pub const NR_DOORBELL: u64 = 0x2a5a;
/// First argument of the doorbell: a request or a report is in the channel.
pub const RING: u64 = 0;
/// First argument of the doorbell: a new thread or process, the second argument is its token.
pub const HELLO: u64 = 1;

/// The host signal by which the Sentry interrupts a guest thread (`SIGUSR1`).
pub const SIG_INTERRUPT: i32 = 10;

/// `clone(2)` flags of a guest fork: a sibling, so that the Sentry is the parent of every guest process; `SIGCHLD`.
pub const FORK_FLAGS: u64 = 0x8000 | 17;
/// `clone(2)` flags of a guest thread: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
pub const THREAD_FLAGS: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;

/// `turn`: the guest side owns the channel, guest code runs.
pub const TURN_GUEST: u32 = 0;
/// `turn`: a request is there and the thread spins on the answer.
pub const TURN_REQUEST: u32 = 1;
/// `turn`: a request is there and the thread rings, or is about to.
pub const TURN_ASLEEP: u32 = 2;
/// `turn`: the answer is there.
pub const TURN_REPLY: u32 = 3;

/// `kind`: a system call.
pub const KIND_SYSCALL: u32 = 1;
/// `kind`: an exception.
pub const KIND_FAULT: u32 = 2;
/// `kind`: the interrupt signal.
pub const KIND_INTERRUPT: u32 = 3;
/// `kind`: the orders were carried out, or one failed (`orders_done`, `result`); the guest has not run.
pub const KIND_REPORT: u32 = 4;
/// `kind`: a new thread or process waits for its first answer.
pub const KIND_HELLO: u32 = 5;

/// `then`: let guest code run, unless an order fails.
pub const THEN_RESUME: u32 = 0;
/// `then`: report.
pub const THEN_REPORT: u32 = 1;

/// `fpu`: as in the signal frame.
pub const FPU_KEEP: u32 = 0;
/// `fpu`: the processor's initial state.
pub const FPU_INIT: u32 = 1;

/// Order: system call `nr` with `args`; a result in -4095..0 is a failure.
pub const ORDER_SYSCALL: u32 = 1;
/// Order: copy `args[1]` bytes from offset `args[2]` of the data area to `args[0]`.
pub const ORDER_COPY: u32 = 2;
/// Order: compare the word at `args[0]` with `args[1]`, exchange with `args[2]`; `result` is what was there.
pub const ORDER_CMPXCHG: u32 = 3;
/// Order: fork; `args[0]` is the token. `result` is the child's pid.
pub const ORDER_FORK: u32 = 4;
/// Order: a thread in slot `args[0]` with token `args[1]`. `result` is its tid.
pub const ORDER_CLONE: u32 = 5;
/// Order: end this thread.
pub const ORDER_EXIT: u32 = 6;

/// Orders in one answer.
pub const MAX_ORDERS: usize = 40;
/// Carried pieces in one request.
pub const MAX_CARRIED: usize = 12;
/// General registers in a channel, in the order of `struct user_regs_struct`.
pub const NREGS: usize = 27;

/// A piece of guest memory that travelled with a request.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Carried {
    /// Where it is in guest memory.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
    /// Where in the data area.
    pub offset: u32,
}

/// Something that the stub does before it lets guest code run.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Order {
    /// `ORDER_*`.
    pub kind: u32,
    /// System call number.
    pub nr: u32,
    /// Arguments.
    pub args: [u64; 6],
}

/// The first page of a slot.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Control {
    /// Whose turn it is: `TURN_*`.
    pub turn: u32,
    /// Sentry: turns of the wait loop before the doorbell.
    pub spin: u32,
    /// Stub: answers whose orders are carried out.
    pub done: u64,

    /// Stub: `KIND_*`.
    pub kind: u32,
    /// Stub: signal of a fault.
    pub signo: i32,
    /// Stub: `si_code`.
    pub code: i32,
    /// Stub: pieces in `carried`.
    pub n_carried: u32,
    /// Stub: `si_addr`.
    pub fault_addr: u64,
    /// Stub: exception number.
    pub trapno: u64,
    /// Stub: processor's error code.
    pub err: u64,
    /// Stub: fault address register.
    pub cr2: u64,
    /// Stub: result of the last order.
    pub result: i64,
    /// Stub: orders carried out.
    pub orders_done: u64,
    /// Stub: address of the floating-point image in the signal frame.
    pub fp_addr: u64,
    /// Stub: pieces that travelled.
    pub carried: [Carried; MAX_CARRIED],

    /// Both: general registers.
    pub regs: [u64; NREGS],

    /// Sentry: `THEN_*`.
    pub then: u32,
    /// Sentry: orders in `orders`.
    pub n_orders: u32,
    /// Sentry: `FPU_*`.
    pub fpu: u32,
    /// Sentry: the registers are to be taken over.
    pub set_regs: u32,
    /// Sentry: the processor may not execute `rdfsbase`.
    pub no_fsgsbase: u32,
    /// Sentry: the zygote is to set itself up. Boot data follows in the data area: [`Boot`].
    pub boot: u32,
    /// Sentry: what to do.
    pub orders: [Order; MAX_ORDERS],
}

/// In the data area of the zygote's slot while it starts.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Boot {
    /// Stub: address of the vDSO's ELF header, 0 if there is none.
    pub vdso: u64,
    /// Stub: address of the data pages before it.
    pub vvar: u64,
    /// Stub: end of its text.
    pub vdso_end: u64,
    /// Stub: the listener's fd number, or a negative errno.
    pub listener: i64,
    /// Stub: which step failed, with `listener` its errno.
    pub step: u64,
    /// Sentry: instructions of the filter program.
    pub filter_len: u64,
    /// Sentry: the filter program, `struct sock_filter` each.
    pub filter: [u64; 200],
}

/// Highest address of the signal stack of a slot.
pub const fn stack_top(slot: u64) -> u64 {
    STACK_BASE + (slot + 1) * STACK_STRIDE
}

const _: () = assert!(core::mem::size_of::<Control>() as u64 <= CONTROL_BYTES);
const _: () = assert!(core::mem::size_of::<Boot>() as u64 <= DATA_BYTES);
