//! Tables of file descriptors (`CLONE_FILES`), like `struct files_struct`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::errno::Result;

use super::file::{File, FileMode};
use super::locks;
use crate::sync::Mutex;

#[derive(Clone)]
struct Slot {
    file: Arc<File>,
    cloexec: bool,
}

#[derive(Clone, Default)]
struct Table {
    slots: Vec<Option<Slot>>,
    /// No free slot lies below.
    next: usize,
    /// Slots promised to a call that has not finished: `None` but not free.
    reserved: Vec<usize>,
}

/// Shared by the tasks that `CLONE_FILES` joins.
pub struct FdTable {
    table: Mutex<Table>,
    /// Names the table as the owner of record locks; never used twice.
    pub id: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Default for FdTable {
    fn default() -> FdTable {
        FdTable {
            table: Mutex::default(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Numbers that a call has reserved and not yet filled. Dropping it frees them.
pub struct Reserved<'a> {
    table: &'a FdTable,
    fds: smallvec::SmallVec<[i32; 2]>,
}

fn index(fd: i32) -> Result<usize> {
    usize::try_from(fd).map_err(|_| Errno::EBADF)
}

impl Table {
    fn free_from(&self, from: usize, limit: usize) -> Result<usize> {
        let mut i = from.max(self.next);
        while i < limit {
            let used = self.slots.get(i).is_some_and(Option::is_some) || self.reserved.contains(&i);
            if !used {
                return Ok(i);
            }
            i += 1;
        }
        Err(Errno::EMFILE)
    }

    fn set(&mut self, i: usize, slot: Slot) -> Option<Arc<File>> {
        if self.slots.len() <= i {
            self.slots.resize(i + 1, None);
        }
        let old = self.slots.get_mut(i).and_then(|s| s.replace(slot));
        if i == self.next {
            self.next = i + 1;
        }
        old.map(|s| s.file)
    }

    fn take(&mut self, i: usize) -> Option<Arc<File>> {
        let slot = self.slots.get_mut(i)?.take()?;
        self.next = self.next.min(i);
        Some(slot.file)
    }
}

impl FdTable {
    /// An empty table.
    pub fn new() -> FdTable {
        FdTable::default()
    }

    /// A copy for a child without `CLONE_FILES`.
    pub fn fork(&self) -> FdTable {
        let mut table = self.table.lock().clone();
        table.reserved.clear();
        FdTable {
            table: Mutex::new(table),
            ..FdTable::default()
        }
    }

    /// The file of an fd, `O_PATH` ones too.
    pub fn get_any(&self, fd: i32) -> Result<Arc<File>> {
        let table = self.table.lock();
        let slot = table
            .slots
            .get(index(fd)?)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)?;
        Ok(slot.file.clone())
    }

    /// The file of an fd; `EBADF` for an `O_PATH` one, as most calls have it.
    pub fn get(&self, fd: i32) -> Result<Arc<File>> {
        let file = self.get_any(fd)?;
        if file.mode.contains(FileMode::PATH) {
            Err(Errno::EBADF)
        } else {
            Ok(file)
        }
    }

    /// Puts a file at the lowest free number, below `limit` (`RLIMIT_NOFILE`).
    pub fn add(&self, file: Arc<File>, cloexec: bool, limit: u64) -> Result<i32> {
        self.add_from(0, file, cloexec, limit)
    }

    /// Likewise, not below `from` (`F_DUPFD`).
    pub fn add_from(&self, from: i32, file: Arc<File>, cloexec: bool, limit: u64) -> Result<i32> {
        let mut table = self.table.lock();
        let i = table.free_from(index(from)?, usize::try_from(limit).unwrap_or(usize::MAX))?;
        table.set(i, Slot { file, cloexec });
        i32::try_from(i).map_err(|_| Errno::EMFILE)
    }

    /// Reserves `n` numbers, so that a call can tell them to the guest before others can use them.
    pub fn reserve(&self, n: usize, limit: u64) -> Result<Reserved<'_>> {
        let mut reserved = Reserved {
            table: self,
            fds: smallvec::SmallVec::new(),
        };
        for _ in 0..n {
            let mut table = self.table.lock();
            let i = table.free_from(0, usize::try_from(limit).unwrap_or(usize::MAX))?;
            table.reserved.push(i);
            drop(table);
            reserved.fds.push(i32::try_from(i).map_err(|_| Errno::EMFILE)?);
        }
        Ok(reserved)
    }

    /// `dup2(2)`: puts a file at that very number; gives what was there, for the caller to flush.
    pub fn put(&self, fd: i32, file: Arc<File>, cloexec: bool) -> Result<Option<Arc<File>>> {
        let mut table = self.table.lock();
        let i = index(fd)?;
        if table.reserved.contains(&i) {
            return Err(Errno::EBUSY);
        }
        let old = table.set(i, Slot { file, cloexec });
        drop(table);
        Ok(old.inspect(|old| self.closed(old)))
    }

    /// Any close of a file ends the record locks of this table on it (`fcntl(2)`).
    fn closed(&self, file: &File) {
        locks::fd_closed(self.id, file);
    }

    /// Takes an fd out.
    pub fn remove(&self, fd: i32) -> Result<Arc<File>> {
        let file = self.table.lock().take(index(fd)?).ok_or(Errno::EBADF)?;
        self.closed(&file);
        Ok(file)
    }

    /// Takes out all fds in `first..=last`.
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<Arc<File>> {
        let mut table = self.table.lock();
        let end = table
            .slots
            .len()
            .min(usize::try_from(last).unwrap_or(usize::MAX).saturating_add(1));
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let taken: Vec<Arc<File>> = (first..end).filter_map(|i| table.take(i)).collect();
        drop(table);
        taken.iter().for_each(|file| self.closed(file));
        taken
    }

    /// Sets `FD_CLOEXEC` on all fds in `first..=last`.
    pub fn cloexec_range(&self, first: u32, last: u32) {
        let mut table = self.table.lock();
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let count = usize::try_from(last)
            .unwrap_or(usize::MAX)
            .saturating_sub(first)
            .saturating_add(1);
        for slot in table.slots.iter_mut().skip(first).take(count).flatten() {
            slot.cloexec = true;
        }
    }

    /// `FD_CLOEXEC` of an fd.
    pub fn cloexec(&self, fd: i32) -> Result<bool> {
        let table = self.table.lock();
        let slot = table
            .slots
            .get(index(fd)?)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)?;
        Ok(slot.cloexec)
    }

    /// Sets `FD_CLOEXEC` of an fd.
    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result<()> {
        let mut table = self.table.lock();
        let slot = table
            .slots
            .get_mut(index(fd)?)
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)?;
        slot.cloexec = on;
        Ok(())
    }

    /// Takes out what `execve(2)` closes.
    pub fn take_cloexec(&self) -> Vec<Arc<File>> {
        let mut table = self.table.lock();
        let marked: Vec<usize> = table
            .slots
            .iter()
            .enumerate()
            .filter(|(_, s)| s.as_ref().is_some_and(|s| s.cloexec))
            .map(|(i, _)| i)
            .collect();
        let taken: Vec<Arc<File>> = marked.into_iter().filter_map(|i| table.take(i)).collect();
        drop(table);
        taken.iter().for_each(|file| self.closed(file));
        taken
    }

    /// All open fds, in order.
    pub fn list(&self) -> Vec<(i32, Arc<File>)> {
        let table = self.table.lock();
        let open = table
            .slots
            .iter()
            .enumerate()
            .filter_map(|(i, s)| Some((i, s.as_ref()?)));
        open.filter_map(|(i, s)| Some((i32::try_from(i).ok()?, s.file.clone())))
            .collect()
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        for (_, file) in self.list() {
            self.closed(&file);
        }
    }
}

impl Reserved<'_> {
    /// The numbers, in the order of the files to come.
    pub fn numbers(&self) -> &[i32] {
        &self.fds
    }

    /// Fills the numbers; nothing can fail any more.
    pub fn commit(self, files: impl IntoIterator<Item = Arc<File>>, cloexec: bool) {
        let mut table = self.table.table.lock();
        for (&fd, file) in self.fds.iter().zip(files) {
            if let Ok(i) = index(fd) {
                table.reserved.retain(|&r| r != i);
                table.set(i, Slot { file, cloexec });
            }
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut table = self.table.table.lock();
        table
            .reserved
            .retain(|r| !self.fds.iter().any(|&fd| index(fd) == Ok(*r)));
    }
}
