//! `/proc/PID/{maps,smaps,smaps_rollup,numa_maps}`

use std::fmt::Write;
use std::sync::Arc;

use abi::errno::Result;
use platform::Prot;

use super::Proc;
use crate::fs::impls::proc::{escape, shown_path};
use crate::fs::stat::{major, minor};
use crate::mm::{Mm, VmaFlags, VmaInfo, policy};
use crate::task::Task;

fn line(vma: &VmaInfo) -> Vec<u8> {
    let flag = |on: bool, c: char| if on { c } else { '-' };
    let (dev, ino, name) = if let Some(file) = &vma.file {
        let stat = file.inode().stat().unwrap_or_default();
        (stat.dev, stat.ino, escape(&shown_path(&file.path), b"\n"))
    } else if let Some(shared) = &vma.shared {
        (1, shared.id, shared.name.clone().into_bytes())
    } else {
        (0, 0, vma.name.clone().into_bytes())
    };
    let mut head = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        vma.start,
        vma.end,
        flag(vma.prot.contains(Prot::READ), 'r'),
        flag(vma.prot.contains(Prot::WRITE), 'w'),
        flag(vma.prot.contains(Prot::EXEC), 'x'),
        if vma.flags.contains(VmaFlags::SHARED) { 's' } else { 'p' },
        vma.offset,
        major(dev),
        minor(dev),
        ino
    );
    let mut out = if name.is_empty() {
        head.into_bytes()
    } else {
        while head.len() < 73 {
            head.push(' ');
        }
        [head.as_bytes(), &name].concat()
    };
    out.push(b'\n');
    out
}

pub(super) fn maps(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let areas = task.mm().map(|mm| mm.maps()).unwrap_or_default();
    Ok(areas.iter().flat_map(line).collect())
}

pub(super) fn numa_maps(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let own = task.attr.lock().mempolicy;
    for vma in task.mm().map(|mm| mm.maps()).unwrap_or_default() {
        let policy = policy::shown(vma.policy.or(own).as_ref());
        out.extend_from_slice(format!("{:08x} {policy}", vma.start).as_bytes());
        if let Some(file) = &vma.file {
            out.extend_from_slice(b" file=");
            out.extend_from_slice(&escape(&shown_path(&file.path), b" \t\n\\"));
        } else if vma.name == "[heap]" || vma.name == "[stack]" {
            out.extend_from_slice(format!(" {}", vma.name.trim_matches(['[', ']'])).as_bytes());
        }
        out.push(b'\n');
    }
    Ok(out)
}

/// Sizes in KiB. Where an area's own cannot be had it gets its share, by size, of the sum that is resident.
struct Sizes {
    size: u64,
    resident: u64,
    anonymous: u64,
    locked: u64,
}

fn sizes(out: &mut String, s: &Sizes, rollup: bool) {
    if !rollup {
        let _ = writeln!(out, "Size:           {:8} kB", s.size);
        let _ = writeln!(out, "KernelPageSize: {:8} kB", 4);
        let _ = writeln!(out, "MMUPageSize:    {:8} kB", 4);
    }
    let clean = s.resident.saturating_sub(s.anonymous);
    let rows = [
        ("Rss:", s.resident),
        ("Pss:", s.resident),
        ("Pss_Dirty:", s.anonymous),
        ("Shared_Clean:", 0),
        ("Shared_Dirty:", 0),
        ("Private_Clean:", clean),
        ("Private_Dirty:", s.anonymous),
        ("Referenced:", s.resident),
        ("Anonymous:", s.anonymous),
        ("KSM:", 0),
        ("LazyFree:", 0),
        ("AnonHugePages:", 0),
        ("ShmemPmdMapped:", 0),
        ("FilePmdMapped:", 0),
        ("Shared_Hugetlb:", 0),
        ("Private_Hugetlb:", 0),
        ("Swap:", 0),
        ("SwapPss:", 0),
        ("Locked:", s.locked),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<15} {value:8} kB");
    }
}

fn measure(mm: &Mm, vma: &VmaInfo, resident: u64, total: u64) -> Sizes {
    const PAGE_KIB: u64 = 4;
    let len = (vma.end - vma.start) / 1024;
    let locked = |n: u64| if vma.flags.contains(VmaFlags::LOCKED) { n } else { 0 };
    if let Some(there) = mm.footprint(vma.start, vma.end) {
        return Sizes {
            size: len,
            resident: there.resident * PAGE_KIB,
            anonymous: there.anonymous * PAGE_KIB,
            locked: locked(there.resident * PAGE_KIB),
        };
    }
    let share = u128::from(resident) * u128::from(len) / u128::from(total.max(1));
    let share = u64::try_from(share).unwrap_or(0).min(len) / 4 * 4;
    let anonymous = vma.file.is_none() || vma.prot.contains(Prot::WRITE);
    Sizes {
        size: len,
        resident: share,
        anonymous: if anonymous { share } else { 0 },
        locked: locked(share),
    }
}

fn vm_flags(vma: &VmaInfo) -> String {
    let names = [
        (vma.prot.contains(Prot::READ), "rd"),
        (vma.prot.contains(Prot::WRITE), "wr"),
        (vma.prot.contains(Prot::EXEC), "ex"),
        (vma.flags.contains(VmaFlags::SHARED), "sh"),
        (vma.flags.contains(VmaFlags::MAYREAD), "mr"),
        (vma.flags.contains(VmaFlags::MAYWRITE), "mw"),
        (vma.flags.contains(VmaFlags::MAYEXEC), "me"),
        (vma.flags.contains(VmaFlags::SHARED), "ms"),
        (vma.flags.contains(VmaFlags::GROWSDOWN), "gd"),
        (vma.flags.contains(VmaFlags::LOCKED), "lo"),
        (vma.flags.contains(VmaFlags::DONTFORK), "dc"),
        (vma.flags.contains(VmaFlags::DONTDUMP), "dd"),
        (vma.flags.contains(VmaFlags::WIPEONFORK), "wf"),
        (vma.flags.contains(VmaFlags::NORESERVE), "nr"),
        (true, "sd"),
    ];
    let set: Vec<&str> = names.iter().filter(|(on, _)| *on).map(|(_, n)| *n).collect();
    set.join(" ")
}

pub(super) fn smaps(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let Some(mm) = task.mm() else { return Ok(Vec::new()) };
    let used = mm.memory_use();
    let mut out = Vec::new();
    for vma in mm.maps() {
        out.extend_from_slice(&line(&vma));
        let mut text = String::new();
        sizes(
            &mut text,
            &measure(&mm, &vma, used.resident / 1024, used.total / 1024),
            false,
        );
        let _ = writeln!(text, "THPeligible:           0\nVmFlags: {}", vm_flags(&vma));
        out.extend_from_slice(text.as_bytes());
    }
    Ok(out)
}

pub(super) fn smaps_rollup(_: &Proc, task: &Arc<Task>) -> Result<Vec<u8>> {
    let Some(mm) = task.mm() else { return Ok(Vec::new()) };
    let used = mm.memory_use();
    let areas = mm.maps();
    let (start, end) = (areas.first().map_or(0, |v| v.start), areas.last().map_or(0, |v| v.end));
    let mut out = format!("{start:08x}-{end:08x} ---p 00000000 00:00 0");
    while out.len() < 73 {
        out.push(' ');
    }
    out.push_str("[rollup]\n");
    let parts: Vec<Sizes> = areas
        .iter()
        .map(|v| measure(&mm, v, used.resident / 1024, used.total / 1024))
        .collect();
    let sum = Sizes {
        size: used.total / 1024,
        resident: used.resident / 1024,
        anonymous: parts.iter().map(|p| p.anonymous).sum(),
        locked: used.locked / 1024,
    };
    sizes(&mut out, &sum, true);
    Ok(out.into_bytes())
}
