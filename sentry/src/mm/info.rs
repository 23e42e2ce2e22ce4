//! What `/proc/PID/{maps,stat,statm,status}` tell of a memory map.

use std::sync::Arc;

use platform::Prot;

use super::Mm;
use super::policy::Policy;
use super::vma::{SharedObject, Vma, VmaFlags, VmaObject};
use crate::fs::File;

/// One line of `/proc/PID/maps`.
#[derive(Clone)]
pub struct VmaInfo {
    /// First address.
    pub start: u64,
    /// Address behind it.
    pub end: u64,
    /// Protection.
    pub prot: Prot,
    /// Properties.
    pub flags: VmaFlags,
    /// Byte offset in the file.
    pub offset: u64,
    /// File, if it shows one.
    pub file: Option<Arc<File>>,
    /// Shared memory of the kernel's, if it shows that.
    pub shared: Option<Arc<SharedObject>>,
    /// `[heap]`, `[stack]`, `[vdso]`, `[vvar]`, `[anon:NAME]` or empty.
    pub name: String,
    /// `mbind(2)`
    pub policy: Option<Policy>,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUse {
    /// All areas.
    pub total: u64,
    /// Most at any time.
    pub peak: u64,
    /// In memory now.
    pub resident: u64,
    /// Locked (`VmLck`).
    pub locked: u64,
    /// Private writable (`VmData`).
    pub data: u64,
    /// Stack.
    pub stack: u64,
    /// Code of the program.
    pub exe: u64,
    /// Code of libraries.
    pub lib: u64,
}

impl Mm {
    /// Lines of `/proc/PID/maps`, in order.
    pub fn maps(&self) -> Vec<VmaInfo> {
        let state = self.state.lock();
        let mut out: Vec<VmaInfo> = state.vmas.iter().map(info).collect();
        let top = state.layout.start_stack;
        if let Some(vdso) = state.layout.vdso {
            let mut special = |name: &str, start: u64, len: u64, prot: Prot| {
                let flags = VmaFlags::MAYREAD | VmaFlags::MAYEXEC;
                let name = name.to_owned();
                let end = start.saturating_add(len);
                out.push(VmaInfo {
                    start,
                    end,
                    prot,
                    flags,
                    offset: 0,
                    file: None,
                    shared: None,
                    name,
                    policy: None,
                });
            };
            if vdso.vvar_len > 0 {
                special("[vvar]", vdso.vvar, vdso.vvar_len, Prot::READ);
            }
            special("[vdso]", vdso.base, vdso.len, Prot::READ | Prot::EXEC);
            out.sort_by_key(|v| v.start);
        }
        drop(state);
        // The first of the stack's areas grows downwards.
        if let Some(stack) = out.iter_mut().find(|v| v.flags.contains(VmaFlags::STACK))
            && (stack.start..stack.end).contains(&top)
        {
            stack.start = self.stack_in_use(stack.start, stack.end, top);
        }
        out
    }

    /// Sizes for `/proc/PID/status` and kin.
    pub fn memory_use(&self) -> MemoryUse {
        let (resident, _) = self.aspace.usage();
        let state = self.state.lock();
        let unused = self.unused_stack(&state);
        let mut used = MemoryUse {
            total: state.vmas.total.saturating_sub(unused),
            peak: state.peak_total.max(state.vmas.total).saturating_sub(unused),
            locked: state.locked,
            resident,
            ..MemoryUse::default()
        };
        for vma in state.vmas.iter() {
            if vma.flags.contains(VmaFlags::STACK) {
                used.stack += vma.len();
            } else if vma.prot.contains(Prot::WRITE) && !vma.flags.contains(VmaFlags::SHARED) {
                used.data += vma.len();
            } else if vma.prot.contains(Prot::EXEC) {
                let own = vma.start >= state.layout.start_code && vma.start < state.layout.end_code;
                *(if own { &mut used.exe } else { &mut used.lib }) += vma.len();
            }
        }
        used.stack = used.stack.saturating_sub(unused);
        used
    }

    /// The area at an address, for faults and `mincore(2)`.
    pub fn area(&self, addr: u64) -> Option<VmaInfo> {
        self.state.lock().vmas.at(addr).map(info)
    }

    /// True if every address of the range is mapped.
    pub fn is_mapped(&self, start: u64, end: u64) -> bool {
        self.state.lock().vmas.covers(start, end)
    }
}

fn info(vma: &Vma) -> VmaInfo {
    let (file, shared) = match &vma.object {
        VmaObject::Anonymous => (None, None),
        VmaObject::File(file) => (Some(file.clone()), None),
        VmaObject::Shared(object) => (None, Some(object.clone())),
    };
    let name = match &vma.name {
        _ if vma.flags.contains(VmaFlags::STACK) => "[stack]".to_owned(),
        _ if vma.flags.contains(VmaFlags::HEAP) => "[heap]".to_owned(),
        Some(name) => format!("[anon:{name}]"),
        None => String::new(),
    };
    let (start, end, prot, flags, offset) = (vma.start, vma.end, vma.prot, vma.flags, vma.offset);
    VmaInfo {
        start,
        end,
        prot,
        flags,
        offset,
        file,
        shared,
        policy: vma.policy,
        name,
    }
}
