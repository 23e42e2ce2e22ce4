//! Guest memory management: what is mapped where. The platform carries it out (ADR 0002).
//!
//! The Sentry decides every address and keeps the areas, for limits, `/proc/PID/maps`, fork rules and futex keys. Pages,
//! faults and copy-on-write are the host's. The state lock is held while an operation is queued on a context, so that the
//! platform sees operations of all threads in the order in which the areas changed.

mod advise;
mod brk;
mod fault;
mod info;
mod map;
pub mod policy;
mod remap;
mod resident;
mod stack;
mod vma;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::errno::Result;
use abi::regs::PAGE_SIZE;
use platform::{AddressSpace, OpFailure, Prot};

use crate::fs::File;
use crate::ipc::futex::FutexKey;
use crate::sync::Mutex;

pub use advise::advice;
pub use info::{MemoryUse, VmaInfo};
pub(crate) use map::shared_object;
pub use map::{MapRequest, Placement};
pub use resident::Footprint;
pub use vma::{SharedObject, Vma, VmaFlags, VmaObject, VmaSet};

/// Lowest address that may be mapped (`/proc/sys/vm/mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;

/// Most areas of a map (`/proc/sys/vm/max_map_count`). The host's own limit is as high, and the platform needs a few.
pub const MAX_MAP_COUNT: usize = 65_000;

/// Where parts of the program stand (`prctl(2)`, `PR_SET_MM`; `/proc/PID/stat`).
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Mappings without an address go below.
    pub mmap_base: u64,
    /// First address of the code.
    pub start_code: u64,
    /// End of the code.
    pub end_code: u64,
    /// First address of the data.
    pub start_data: u64,
    /// End of the data.
    pub end_data: u64,
    /// Where the heap starts.
    pub start_brk: u64,
    /// End of the heap, not page aligned.
    pub brk: u64,
    /// Stack pointer at the start.
    pub start_stack: u64,
    /// Argument strings.
    pub arg_start: u64,
    /// End of the argument strings.
    pub arg_end: u64,
    /// Environment strings.
    pub env_start: u64,
    /// End of the environment strings.
    pub env_end: u64,
    /// The auxiliary vector as bytes.
    pub auxv: Vec<u8>,
    /// `[vdso]`, `[vvar]` of the platform, if any.
    pub vdso: Option<platform::Vdso>,
}

struct State {
    vmas: VmaSet,
    layout: Layout,
    exe: Option<Arc<File>>,
    /// `mlockall(MCL_FUTURE)`
    lock_future: bool,
    locked: u64,
    peak_total: u64,
}

/// A memory map, like `struct mm_struct`.
pub struct Mm {
    /// Never used twice.
    pub id: u64,
    aspace: Arc<dyn AddressSpace>,
    guest_end: u64,
    state: Mutex<State>,
    /// What it asked for with `membarrier(2)`, `MEMBARRIER_CMD_REGISTER_*`.
    pub barriers: AtomicU32,
    /// Contexts of Linux AIO.
    pub aio: crate::fs::aio::AioContexts,
}

/// `len` rounded up to pages; none if that wraps.
pub fn page_up(len: u64) -> Option<u64> {
    Some(len.checked_add(PAGE_SIZE - 1)? & !(PAGE_SIZE - 1))
}

/// Rounded down to pages.
pub const fn page_down(addr: u64) -> u64 {
    addr & !(PAGE_SIZE - 1)
}

static NEXT_ID: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

impl Mm {
    /// An empty map of an empty address space.
    pub fn new(aspace: Arc<dyn AddressSpace>, guest_end: u64) -> Arc<Mm> {
        let layout = Layout {
            mmap_base: guest_end,
            ..Layout::default()
        };
        let state = State {
            vmas: VmaSet::default(),
            layout,
            exe: None,
            lock_future: false,
            locked: 0,
            peak_total: 0,
        };
        Arc::new(Mm {
            id: next_id(),
            aspace,
            guest_end,
            state: Mutex::new(state),
            barriers: AtomicU32::new(0),
            aio: Mutex::default(),
        })
    }

    /// The map of a child whose address space is a copy of this one (`fork(2)`): without `MADV_DONTFORK` areas and locks.
    pub fn fork(&self, aspace: Arc<dyn AddressSpace>) -> Arc<Mm> {
        let old = self.state.lock();
        let mut vmas = VmaSet::default();
        for vma in old.vmas.iter().filter(|v| !v.flags.contains(VmaFlags::DONTFORK)) {
            let mut vma = vma.clone();
            vma.flags.remove(VmaFlags::LOCKED);
            vmas.insert(vma);
        }
        let state = State {
            vmas,
            layout: old.layout.clone(),
            exe: old.exe.clone(),
            lock_future: false,
            locked: 0,
            peak_total: old.vmas.total,
        };
        Arc::new(Mm {
            id: next_id(),
            aspace,
            guest_end: self.guest_end,
            state: Mutex::new(state),
            barriers: AtomicU32::new(self.barriers.load(Ordering::Relaxed)),
            aio: Mutex::default(),
        })
    }

    /// The clocks that its vDSO shows are to be that namespace's. Nothing runs in it.
    pub fn follow_time(&self, ns: &crate::time::TimeNamespace) -> Result<()> {
        if !ns.is_shifted() {
            // Diverted clocks that need not be tell the right time too.
            return Ok(());
        }
        match self.layout().vdso {
            Some(vdso) => self.aspace.divert_clocks(&vdso),
            None => Ok(()),
        }
    }

    /// The platform's side.
    pub fn aspace(&self) -> &Arc<dyn AddressSpace> {
        &self.aspace
    }

    /// End of the range that guests may map.
    pub fn guest_end(&self) -> u64 {
        self.guest_end
    }

    /// True if the whole range is mapped writable.
    pub fn is_writable(&self, addr: u64, len: usize) -> bool {
        let Some(end) = u64::try_from(len).ok().and_then(|l| addr.checked_add(l)) else {
            return false;
        };
        let state = self.state.lock();
        // A file can be shorter than its mapping: only memory is certain to take the bytes.
        state.vmas.covers(addr, end)
            && state.vmas.overlapping(addr, end).all(|v| {
                v.prot.contains(Prot::WRITE)
                    && match v.object {
                        VmaObject::Anonymous => true,
                        VmaObject::File(_) | VmaObject::Shared(_) => false,
                    }
            })
    }

    /// What a futex at that address is known by; `shared` is the absence of `FUTEX_PRIVATE_FLAG`.
    pub fn futex_key(&self, addr: u64, shared: bool) -> Result<FutexKey> {
        if !addr.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if addr >= self.guest_end {
            return Err(Errno::EFAULT);
        }
        if !shared {
            return Ok(FutexKey::Private { mm: self.id, addr });
        }
        let state = self.state.lock();
        let vma = state.vmas.at(addr).ok_or(Errno::EFAULT)?;
        if !vma.flags.contains(VmaFlags::SHARED) {
            return Ok(FutexKey::Private { mm: self.id, addr });
        }
        let offset = vma.offset.wrapping_add(addr - vma.start);
        Ok(match &vma.object {
            VmaObject::Anonymous => FutexKey::Private { mm: self.id, addr },
            VmaObject::File(file) => FutexKey::Shared {
                object: file.inode().identity(),
                offset,
            },
            VmaObject::Shared(object) => FutexKey::Shared {
                object: object.id,
                offset,
            },
        })
    }

    /// The program (`/proc/PID/exe`).
    pub fn exe(&self) -> Option<Arc<File>> {
        self.state.lock().exe.clone()
    }

    /// Sets the program.
    pub fn set_exe(&self, exe: Option<Arc<File>>) {
        self.state.lock().exe = exe;
    }

    /// Where parts of the program stand.
    pub fn layout(&self) -> Layout {
        self.state.lock().layout.clone()
    }

    /// Changes where parts of the program stand (loader, `PR_SET_MM`).
    pub fn update_layout(&self, change: impl FnOnce(&mut Layout)) {
        change(&mut self.state.lock().layout);
    }

    /// The host could not carry out what was decided: the range is taken as unmapped, and the call fails with this error.
    pub fn op_failed(&self, failure: &OpFailure) -> Errno {
        let (addr, len) = failure.op.range();
        if matches!(failure.op, platform::MemOp::Map { .. } | platform::MemOp::Remap { .. })
            && let Some(end) = addr.checked_add(len)
        {
            self.state.lock().vmas.remove(addr, end);
        }
        failure.errno
    }
}
