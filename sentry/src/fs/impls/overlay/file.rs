//! An open regular file of the merged tree: a file of a layer.

use std::any::Any;
use std::sync::Arc;

use abi::SysResult;
use abi::errno::Result;

use super::inode::OverlayInode;
use crate::fs::file::{Backing, File, FileOps, OpenFlags, SeekFrom, WriteAt};
use crate::fs::inode::Inode;
use crate::fs::io::{Sink, Source};
use crate::sync::Mutex;
use crate::task::Cx;

/// One open file description.
pub(super) struct OverlayFile {
    inode: Arc<Inode>,
    real: Mutex<Arc<File>>,
}

impl OverlayFile {
    pub fn new(inode: Arc<Inode>, real: Arc<File>) -> OverlayFile {
        OverlayFile {
            inode,
            real: Mutex::new(real),
        }
    }

    /// The layer's file. One opened for reading before the file was copied up goes on with the copy, as on Linux; what was
    /// mapped of it before stays with the old.
    pub fn real(&self) -> Result<Arc<File>> {
        let own = OverlayInode::of(&self.inode)?;
        let now = own.real()?;
        let mut real = self.real.lock();
        if !Arc::ptr_eq(real.inode(), &now) {
            *real = own.fs.open(&now, real.flags())?;
        }
        Ok(real.clone())
    }
}

impl FileOps for OverlayFile {
    fn read(&self, _file: &File, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let real = self.real()?;
        real.ops.read(&real, dst, pos)
    }

    fn write(&self, _file: &File, src: &mut dyn Source, at: &mut WriteAt) -> Result<usize> {
        let real = self.real()?;
        real.ops.write(&real, src, at)
    }

    fn seek(&self, _file: &File, to: SeekFrom, pos: u64) -> Result<u64> {
        let real = self.real()?;
        real.ops.seek(&real, to, pos)
    }

    fn ioctl(&self, cx: &mut Cx, _file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
        let real = self.real()?;
        real.ops.ioctl(cx, &real, cmd, arg)
    }

    fn mmap(&self, _file: &File, offset: u64, len: u64, shared: bool) -> Result<Backing> {
        let real = self.real()?;
        real.ops.mmap(&real, offset, len, shared)
    }

    fn fsync(&self, _file: &File, data_only: bool) -> Result<()> {
        let real = self.real()?;
        real.ops.fsync(&real, data_only)
    }

    fn fallocate(&self, _file: &File, mode: i32, offset: u64, len: u64) -> Result<()> {
        let real = self.real()?;
        real.ops.fallocate(&real, mode, offset, len)
    }

    fn set_flags(&self, _file: &File, flags: OpenFlags) -> Result<()> {
        let real = self.real()?;
        real.ops.set_flags(&real, flags)?;
        real.set_flags(flags);
        Ok(())
    }

    fn flush(&self, _file: &File) -> Result<()> {
        let real = self.real()?;
        real.ops.flush(&real)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
