//! Contents of regular files.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use abi::Errno;
use abi::conv::{size, usize64};
use abi::errno::Result;
use rustix::fs::{FallocateFlags, MemfdFlags, SeekFrom};

use super::{PAGE, TmpFs};
use crate::fs::io::{Sink, Source};

/// Largest file kept in heap pages.
pub(super) const HEAP_MAX: u64 = 64 << 10;
/// Largest file at all (`MAX_LFS_FILESIZE`).
pub(super) const SIZE_MAX: u64 = i64::MAX.cast_unsigned();
/// Most bytes moved in one step.
const STEP: usize = 128 << 10;

type PageBox = Box<[u8; 4096]>;

/// Bytes of one file. Pages that it uses are counted at the instance.
pub(super) struct Data {
    pub(super) size: u64,
    store: Store,
}

enum Store {
    /// A hole is a `None`, or beyond the end of the list.
    Heap(Vec<Option<PageBox>>),
    Host(Host),
}

/// A host memfd. Its size is the file's.
struct Host {
    fd: Arc<OwnedFd>,
    /// Pages counted at the instance.
    counted: u64,
    /// Pages below this one are known to be there.
    dense: u64,
}

fn host_error(e: rustix::io::Errno) -> Errno {
    match Errno::from_raw(e.raw_os_error()) {
        // The host has no memory or no room for it: to the guest that is a full file system.
        Errno::ENOMEM | Errno::EFBIG | Errno::EDQUOT => Errno::ENOSPC,
        e => e,
    }
}

impl Data {
    pub(super) fn new() -> Data {
        Data {
            size: 0,
            store: Store::Heap(Vec::new()),
        }
    }

    /// Pages in use.
    pub(super) fn pages(&mut self, fs: &TmpFs) -> u64 {
        match &mut self.store {
            Store::Heap(pages) => usize64(pages.iter().flatten().count()),
            Store::Host(host) => {
                host.recount(fs);
                host.counted
            }
        }
    }

    /// Ends the file's use of the instance.
    pub(super) fn release(&mut self, fs: &TmpFs) {
        match &mut self.store {
            Store::Heap(pages) => fs.give_pages(usize64(pages.iter().flatten().count())),
            Store::Host(host) => fs.give_pages(host.counted),
        }
        self.store = Store::Heap(Vec::new());
        self.size = 0;
    }

    /// The memfd, for mappings; made now if there is none.
    pub(super) fn host_fd(&mut self, fs: &TmpFs) -> Result<Arc<OwnedFd>> {
        self.to_host(fs)?;
        match &self.store {
            Store::Host(host) => Ok(host.fd.clone()),
            Store::Heap(_) => Err(Errno::EIO),
        }
    }

    fn to_host(&mut self, fs: &TmpFs) -> Result<()> {
        let Store::Heap(pages) = &self.store else { return Ok(()) };
        let fd = rustix::fs::memfd_create("tmpfs", MemfdFlags::CLOEXEC).map_err(host_error)?;
        rustix::fs::ftruncate(&fd, self.size).map_err(host_error)?;
        for (i, page) in pages.iter().enumerate() {
            let at = usize64(i) * PAGE;
            if let Some(page) = page
                && at < self.size
            {
                let len = size((self.size - at).min(PAGE));
                write_all(&fd, page.get(..len).unwrap_or_default(), at)?;
            }
        }
        let mut host = Host {
            fd: Arc::new(fd),
            counted: usize64(pages.iter().flatten().count()),
            dense: 0,
        };
        host.recount(fs);
        self.store = Store::Host(host);
        Ok(())
    }

    /// Reads from `pos` on; 0 at the end.
    pub(super) fn read(&mut self, dst: &mut dyn Sink, pos: u64) -> Result<usize> {
        let mut at = pos;
        let mut done = 0;
        while at < self.size && dst.remaining() > 0 {
            let left = size((self.size - at).min(usize64(dst.remaining())));
            let (asked, put) = match &self.store {
                Store::Heap(pages) => {
                    let offset = size(at % PAGE);
                    let n = left.min(4096 - offset);
                    let page = pages.get(size(at / PAGE)).and_then(Option::as_deref);
                    let part = page.unwrap_or(&[0; 4096]).get(offset..offset + n);
                    (n, dst.put(part.unwrap_or_default()))
                }
                Store::Host(host) => {
                    let mut buf = vec![0u8; left.min(STEP)];
                    let n = rustix::io::pread(&host.fd, &mut buf, at).map_err(host_error)?;
                    if n == 0 {
                        break;
                    }
                    (n, dst.put(buf.get(..n).unwrap_or_default()))
                }
            };
            match put {
                Ok(n) => {
                    done += n;
                    at += usize64(n);
                    if n < asked {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes at `pos`, as much as fits; the caller has checked limits and seals.
    pub(super) fn write(&mut self, fs: &TmpFs, src: &mut dyn Source, pos: u64, max: usize) -> Result<usize> {
        let mut done = 0;
        while done < max {
            let at = pos + usize64(done);
            let want = (max - done).min(STEP);
            let result = self.write_step(fs, src, at, want);
            match result {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write_step(&mut self, fs: &TmpFs, src: &mut dyn Source, at: u64, want: usize) -> Result<usize> {
        if at.saturating_add(usize64(want)) > HEAP_MAX {
            self.to_host(fs)?;
        }
        let mut buf = vec![0u8; want];
        let got = src.take(&mut buf)?;
        let buf = buf.get(..got).unwrap_or_default();
        let wrote = match &mut self.store {
            Store::Heap(pages) => write_heap(fs, pages, buf, at),
            Store::Host(host) => host.write(fs, buf, at),
        };
        let n = *wrote.as_ref().unwrap_or(&0);
        src.put_back(got - n);
        self.size = self.size.max(at + usize64(n));
        wrote
    }

    /// Makes the file that long.
    pub(super) fn set_size(&mut self, fs: &TmpFs, new: u64) -> Result<()> {
        if new > HEAP_MAX && new > self.size {
            self.to_host(fs)?;
        }
        match &mut self.store {
            Store::Heap(pages) => {
                let keep = size(new.div_ceil(PAGE));
                if keep < pages.len() {
                    let gone = pages.drain(keep..).flatten().count();
                    fs.give_pages(usize64(gone));
                }
                // What was behind the new end reads as zeros if the file grows again.
                if let Some(Some(page)) = pages.get_mut(size(new / PAGE))
                    && new < self.size
                {
                    page.iter_mut().skip(size(new % PAGE)).for_each(|b| *b = 0);
                }
            }
            Store::Host(host) => {
                rustix::fs::ftruncate(&host.fd, new).map_err(host_error)?;
                host.dense = host.dense.min(new / PAGE);
                if new < self.size {
                    host.recount(fs);
                }
            }
        }
        self.size = new;
        Ok(())
    }

    /// `fallocate(2)` without flags other than keeping the size.
    pub(super) fn allocate(&mut self, fs: &TmpFs, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let end = offset + len;
        self.to_host(fs)?;
        let Store::Host(host) = &mut self.store else {
            return Err(Errno::EIO);
        };
        host.recount(fs);
        // All pages of the range may be new; what was there already is given back.
        let most = end.div_ceil(PAGE) - offset / PAGE;
        fs.take_pages(most)?;
        let flags = if keep_size {
            FallocateFlags::KEEP_SIZE
        } else {
            FallocateFlags::empty()
        };
        let done = rustix::fs::fallocate(&host.fd, flags, offset, len).map_err(host_error);
        host.recount(fs);
        fs.give_pages(most);
        done?;
        if !keep_size {
            self.size = self.size.max(end);
        }
        Ok(())
    }

    /// `FALLOC_FL_PUNCH_HOLE`
    pub(super) fn punch(&mut self, fs: &TmpFs, offset: u64, len: u64) -> Result<()> {
        self.to_host(fs)?;
        let Store::Host(host) = &mut self.store else {
            return Err(Errno::EIO);
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&host.fd, flags, offset, len).map_err(host_error)?;
        host.dense = host.dense.min(offset / PAGE);
        host.recount(fs);
        Ok(())
    }

    /// `SEEK_DATA` (or `SEEK_HOLE`) from `pos`, which lies before the end.
    pub(super) fn seek(&self, pos: u64, data: bool) -> Result<u64> {
        match &self.store {
            Store::Heap(pages) => {
                let mut i = pos / PAGE;
                while i * PAGE < self.size {
                    let there = pages.get(size(i)).is_some_and(Option::is_some);
                    if there == data {
                        return Ok(pos.max(i * PAGE));
                    }
                    i += 1;
                }
                if data { Err(Errno::ENXIO) } else { Ok(self.size) }
            }
            Store::Host(host) => {
                let to = if data { SeekFrom::Data(pos) } else { SeekFrom::Hole(pos) };
                rustix::fs::seek(&host.fd, to).map_err(host_error)
            }
        }
    }
}

fn write_all(fd: &OwnedFd, mut buf: &[u8], mut at: u64) -> Result<()> {
    while !buf.is_empty() {
        let n = rustix::io::pwrite(fd, buf, at).map_err(host_error)?;
        buf = buf.get(n..).unwrap_or_default();
        at += usize64(n);
    }
    Ok(())
}

fn write_heap(fs: &TmpFs, pages: &mut Vec<Option<PageBox>>, buf: &[u8], at: u64) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let pos = at + usize64(done);
        let (index, offset) = (size(pos / PAGE), size(pos % PAGE));
        if pages.len() <= index {
            pages.resize_with(index + 1, || None);
        }
        let Some(slot) = pages.get_mut(index) else { break };
        let page = match slot {
            Some(page) => page,
            None => match fs.take_pages(1) {
                Ok(()) => slot.insert(Box::new([0; 4096])),
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            },
        };
        let n = (buf.len() - done).min(4096 - offset);
        if let (Some(to), Some(from)) = (page.get_mut(offset..offset + n), buf.get(done..done + n)) {
            to.copy_from_slice(from);
        }
        done += n;
    }
    Ok(done)
}

impl Host {
    /// Brings the count in line with what the host says: guests write through mappings, too.
    fn recount(&mut self, fs: &TmpFs) {
        let Ok(st) = rustix::fs::fstat(&self.fd) else { return };
        let now = u64::try_from(st.st_blocks).unwrap_or(0) / 8;
        if now > self.counted {
            fs.force_pages(now - self.counted);
        } else {
            fs.give_pages(self.counted - now);
        }
        self.counted = now;
    }

    fn write(&mut self, fs: &TmpFs, buf: &[u8], at: u64) -> Result<usize> {
        let (first, end) = (at / PAGE, (at + usize64(buf.len())).div_ceil(PAGE));
        if end <= self.dense {
            return rustix::io::pwrite(&self.fd, buf, at).map_err(host_error);
        }
        let fresh = end - first.max(self.dense).min(end);
        let mut buf = buf;
        if fs.take_pages(fresh).is_err() {
            // Perhaps the pages are there already; else write what fits, page by page.
            self.recount(fs);
            if buf.len() > 4096 {
                buf = buf.get(..4096 - size(at % PAGE)).unwrap_or_default();
                return self.write(fs, buf, at);
            }
            let there = rustix::fs::seek(&self.fd, SeekFrom::Data(at)).is_ok_and(|d| d == at);
            if !there || first + 1 < end {
                return Err(Errno::ENOSPC);
            }
            return rustix::io::pwrite(&self.fd, buf, at).map_err(host_error);
        }
        let wrote = rustix::io::pwrite(&self.fd, buf, at).map_err(host_error);
        if first <= self.dense && wrote == Ok(buf.len()) {
            self.dense = self.dense.max(end);
        }
        if first == self.dense.saturating_sub(fresh) && self.counted == first {
            // Plain growth at the end: all of it is new.
            self.counted += fresh;
        } else {
            self.recount(fs);
            fs.give_pages(fresh);
        }
        wrote
    }
}
