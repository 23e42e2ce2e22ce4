//! Devices of memory (`null(4)`, `full(4)`, `random(4)`, `/dev/kmsg`), and what stands in `/dev` of every container.

mod kmsg;

use std::any::Any;
use std::sync::Arc;

use abi::errno::Result;
use abi::{Errno, SysResult};

use crate::fs::{Backing, File, FileOps, OpenHow, Path, SeekFrom, Sink, Source, WriteAt};
use crate::kernel::Kernel;
use crate::task::{Cx, Task};
use crate::usermem::UserAddr;

/// Devices that a container has whatever its configuration says (OCI "default devices"): name, major, minor.
pub const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links that runtimes make: name, target.
pub const DEFAULT_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Null,
    Zero,
    Full,
    Random,
}

/// An open device.
struct Device(Memory);

static ZEROS: [u8; 4096] = [0; 4096];
/// Largest piece of random bytes made at once.
const PIECE: usize = 4096;

const RNDGETENTCNT: u32 = 0x8004_5200;

impl FileOps for Device {
    fn read(&self, _file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        if self.0 == Memory::Null {
            return Ok(0);
        }
        let mut done = 0;
        let mut buf = [0u8; PIECE];
        while dst.remaining() > 0 {
            let n = dst.remaining().min(PIECE);
            let part = if self.0 == Memory::Random {
                let part = buf.get_mut(..n).unwrap_or_default();
                rustix::rand::getrandom(&mut *part, rustix::rand::GetRandomFlags::empty()).map_err(|_| Errno::EIO)?;
                &*part
            } else {
                ZEROS.get(..n).unwrap_or_default()
            };
            match dst.put(part) {
                Ok(put) => {
                    done += put;
                    if put < n {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write(&self, _file: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        if self.0 == Memory::Full {
            return Err(Errno::ENOSPC);
        }
        let n = src.remaining();
        if self.0 == Memory::Random {
            // Stirred in by Linux; here only looked at, so that a bad address is found.
            let mut buf = [0u8; PIECE];
            while src.remaining() > 0 {
                src.take(&mut buf)?;
            }
        }
        at.end = at.pos;
        Ok(n)
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        match (self.0, to) {
            // null_lseek
            (Memory::Null | Memory::Zero | Memory::Full, _) => Ok(0),
            (_, SeekFrom::Start(off)) => u64::try_from(off).map_err(|_| Errno::EINVAL),
            (_, SeekFrom::Current(off)) => pos.checked_add_signed(off).ok_or(Errno::EINVAL),
            _ => Ok(0),
        }
    }

    fn ioctl(&self, cx: &mut Cx, _file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        if self.0 == Memory::Random && cmd == RNDGETENTCNT {
            cx.write_obj(UserAddr(arg), &256i32)?;
            return Ok(0);
        }
        Err(Errno::ENOTTY.into())
    }

    fn mmap(&self, _file: &File, _offset: u64, _len: u64, _shared: bool) -> Result<Backing> {
        match self.0 {
            Memory::Zero => Ok(Backing::Anonymous),
            _ => Err(Errno::ENODEV),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Adds the drivers of all character devices to the kernel.
pub fn register(kernel: &Kernel) {
    let devices = &kernel.vfs.devices;
    for (minor, kind) in [
        (3, Memory::Null),
        (5, Memory::Zero),
        (7, Memory::Full),
        (8, Memory::Random),
        (9, Memory::Random),
    ] {
        let open = move |_: &Arc<Task>, _: &Path, _: &OpenHow| Ok(Arc::new(Device(kind)) as Arc<dyn FileOps>);
        devices.register(1, Some(minor), Arc::new(open));
    }
    let log = kernel.kmsg.clone();
    let open = move |_: &Arc<Task>, _: &Path, _: &OpenHow| Ok(Arc::new(kmsg::Kmsg::open(&log)) as Arc<dyn FileOps>);
    devices.register(1, Some(11), Arc::new(open));
    super::devpts::register(devices);
}
