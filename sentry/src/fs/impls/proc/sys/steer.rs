//! Numbers that steer: the kernel's own, and those of the reader's IPC namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::errno::Result;

use crate::fs::impls::proc::sysvipc::reader_ipc;
use crate::fs::impls::pseudo::{DirBuilder, Text, parse_number, trim};
use crate::ipc::IpcLimits;
use crate::kernel::Kernel;
use crate::sysctl::{Sysctl, Tunable};

/// Writes a number within bounds.
fn set(tunable: &Tunable, data: &[u8], min: i64, max: i64) -> Result<usize> {
    let value = parse_number(data)?;
    if value < min || value > max {
        return Err(Errno::EINVAL);
    }
    tunable.set(value);
    Ok(data.len())
}

struct OfKernel {
    kernel: Arc<Kernel>,
    which: fn(&Sysctl) -> &Tunable,
    min: i64,
    max: i64,
}

impl Text for OfKernel {
    fn read(&self) -> Result<Vec<u8>> {
        Ok(format!("{}\n", (self.which)(&self.kernel.tunables).get()).into_bytes())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        set((self.which)(&self.kernel.tunables), data, self.min, self.max)
    }
}

/// Adds a number of the kernel's.
pub(super) fn kernel(
    dir: &mut DirBuilder<'_>,
    kernel: &Arc<Kernel>,
    name: &str,
    which: fn(&Sysctl) -> &Tunable,
    (min, max): (i64, i64),
) {
    let kernel = kernel.clone();
    dir.file(
        name,
        0o644,
        OfKernel {
            kernel,
            which,
            min,
            max,
        },
    );
}

struct OfIpc {
    kernel: Arc<Kernel>,
    which: fn(&IpcLimits) -> &Tunable,
    min: i64,
    max: i64,
}

impl Text for OfIpc {
    fn read(&self) -> Result<Vec<u8>> {
        let ns = reader_ipc(&self.kernel);
        Ok(format!("{}\n", (self.which)(&ns.limits).get()).into_bytes())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let ns = reader_ipc(&self.kernel);
        set((self.which)(&ns.limits), data, self.min, self.max)
    }
}

/// Adds a number of the IPC namespace.
pub(super) fn ipc(
    dir: &mut DirBuilder<'_>,
    kernel: &Arc<Kernel>,
    name: &str,
    which: fn(&IpcLimits) -> &Tunable,
    (min, max): (i64, i64),
) {
    let kernel = kernel.clone();
    dir.file(
        name,
        0o644,
        OfIpc {
            kernel,
            which,
            min,
            max,
        },
    );
}

struct Large {
    kernel: Arc<Kernel>,
    which: fn(&IpcLimits) -> &AtomicU64,
}

impl Text for Large {
    fn read(&self) -> Result<Vec<u8>> {
        let ns = reader_ipc(&self.kernel);
        Ok(format!("{}\n", (self.which)(&ns.limits).load(Ordering::Relaxed)).into_bytes())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let text = std::str::from_utf8(trim(data)).map_err(|_| Errno::EINVAL)?;
        let value = text.parse().map_err(|_| Errno::EINVAL)?;
        (self.which)(&reader_ipc(&self.kernel).limits).store(value, Ordering::Relaxed);
        Ok(data.len())
    }
}

/// Adds a number of 64 bits of the IPC namespace.
pub(super) fn ipc_large(
    dir: &mut DirBuilder<'_>,
    kernel: &Arc<Kernel>,
    name: &str,
    which: fn(&IpcLimits) -> &AtomicU64,
) {
    let kernel = kernel.clone();
    dir.file(name, 0o644, Large { kernel, which });
}

/// `kernel.sem`: four numbers.
pub(super) struct Sem(pub(super) Arc<Kernel>);

impl Text for Sem {
    fn read(&self) -> Result<Vec<u8>> {
        let ns = reader_ipc(&self.0);
        let numbers = ns.limits.sem.each_ref().map(|t| t.get().to_string());
        Ok(format!("{}\n", numbers.join("\t")).into_bytes())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let ns = reader_ipc(&self.0);
        let words = trim(data).split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        // As many as are given.
        for (tunable, word) in ns.limits.sem.iter().zip(words) {
            set(tunable, word, 0, i64::from(i32::MAX))?;
        }
        Ok(data.len())
    }
}
