//! Finding the vDSO of a guest process.

use std::os::fd::BorrowedFd;

use abi::regs::PAGE_SIZE;
use rustix::fs::{Mode, OFlags};

use crate::Vdso;
use crate::host::vm;

/// Measures the vDSO at `base` in a process. Without a procfs the place of its data pages stays unknown.
pub fn find(pid: i32, base: u64, proc_fd: Option<BorrowedFd<'_>>) -> Option<Vdso> {
    let len = image_len(pid, base)?;
    let data = proc_fd.and_then(|fd| data_range(pid, fd));
    let (vvar, vvar_len) = data.unwrap_or((base, 0));
    Some(Vdso {
        base,
        len,
        vvar,
        vvar_len,
    })
}

/// Size by the ELF program headers, in whole pages.
fn image_len(pid: i32, base: u64) -> Option<u64> {
    let mut page = [0u8; 1024];
    if base == 0 || vm::read(pid, base, &mut page) != page.len() || !page.starts_with(b"\x7fELF") {
        return None;
    }
    let u16_at = |at: usize| {
        page.get(at..at + 2)
            .and_then(|b| b.try_into().ok())
            .map(u16::from_le_bytes)
    };
    let u64_at = |at: usize| {
        page.get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes)
    };
    let (table, entry, count) = (u64_at(32)?, u16_at(54)?, u16_at(56)?);
    let mut end = 0;
    for i in 0..count.min(16) {
        let at = usize::try_from(table)
            .ok()?
            .checked_add(usize::from(entry) * usize::from(i))?;
        // PT_LOAD
        if u16_at(at)? == 1 {
            end = end.max(u64_at(at + 16)?.checked_add(u64_at(at + 40)?)?);
        }
    }
    (end > 0).then(|| end.next_multiple_of(PAGE_SIZE))
}

/// The range of `[vvar]` and its like, from the process's maps.
fn data_range(pid: i32, proc_fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    let text = read_file(proc_fd, &format!("{pid}/maps"))?;
    let mut range: Option<(u64, u64)> = None;
    for line in text.lines().filter(|l| l.contains("[vvar")) {
        let (from, to) = line.split_once(' ')?.0.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        range = Some(range.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
    }
    range.map(|(from, to)| (from, to.saturating_sub(from)))
}

/// A small text file below a directory.
pub(crate) fn read_file(dir: BorrowedFd<'_>, path: &str) -> Option<String> {
    let fd = rustix::fs::openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (mut text, mut buf) = (Vec::new(), [0u8; 4096]);
    loop {
        match rustix::io::read(&fd, &mut buf) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(buf.get(..n)?),
            Err(_) => return None,
        }
    }
    String::from_utf8(text).ok()
}
