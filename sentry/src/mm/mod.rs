//! Guest memory management: what is mapped where. The platform carries it out (ADR 0002).

use std::sync::Arc;

use platform::AddressSpace;

/// A memory map, like `struct mm_struct`.
pub struct Mm {
    aspace: Arc<dyn AddressSpace>,
}

impl Mm {
    /// The platform's side.
    pub fn aspace(&self) -> &Arc<dyn AddressSpace> {
        &self.aspace
    }

    /// True if the whole range is mapped writable.
    pub fn is_writable(&self, addr: u64, len: usize) -> bool {
        let _ = (addr, len);
        false
    }
}
