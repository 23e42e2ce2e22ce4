//! `/proc/{cpuinfo,meminfo,stat,loadavg,uptime,vmstat,...}`: the machine as the sandbox has it.

use std::fmt::Write;
use std::sync::Arc;

use abi::errno::Result;

use super::Proc;
use crate::kernel::Kernel;
use crate::task::{Usage, current};
use crate::time::Shifted;
use crate::time::clock::{boottime_now, realtime_now};

const TICK_NS: u64 = 10_000_000;

/// As `uname(2)` has it.
pub(super) use crate::syscalls::{RELEASE, VERSION};

/// A mask of processors as `0-3,5`.
pub(super) fn cpu_list(mask: &[u64]) -> String {
    let is_set = |cpu: usize| mask.get(cpu / 64).is_some_and(|w| w & (1 << (cpu % 64)) != 0);
    let mut parts = Vec::new();
    let mut cpu = 0;
    while cpu < mask.len() * 64 {
        if !is_set(cpu) {
            cpu += 1;
            continue;
        }
        let first = cpu;
        while is_set(cpu + 1) {
            cpu += 1;
        }
        parts.push(if first == cpu {
            first.to_string()
        } else {
            format!("{first}-{cpu}")
        });
        cpu += 1;
    }
    parts.join(",")
}

/// What `cpuid` says of the processor, read once.
struct Cpu {
    vendor: String,
    family: u32,
    model: u32,
    stepping: u32,
    name: String,
    flags: String,
}

/// Features by `cpuid` leaf, register (0 ebx, 1 ecx, 2 edx) and bit, with Linux's names.
const FEATURES: &[(u32, u32, &[(u32, &str)])] = &[
    (
        1,
        2,
        &[
            (0, "fpu"),
            (1, "vme"),
            (2, "de"),
            (3, "pse"),
            (4, "tsc"),
            (5, "msr"),
            (6, "pae"),
            (7, "mce"),
            (8, "cx8"),
            (9, "apic"),
            (11, "sep"),
            (12, "mtrr"),
            (13, "pge"),
            (14, "mca"),
            (15, "cmov"),
            (16, "pat"),
            (17, "pse36"),
            (19, "clflush"),
            (23, "mmx"),
            (24, "fxsr"),
            (25, "sse"),
            (26, "sse2"),
            (28, "ht"),
        ],
    ),
    (
        0x8000_0001,
        2,
        &[(11, "syscall"), (20, "nx"), (26, "pdpe1gb"), (27, "rdtscp"), (29, "lm")],
    ),
    (
        1,
        1,
        &[
            (0, "pni"),
            (1, "pclmulqdq"),
            (9, "ssse3"),
            (12, "fma"),
            (13, "cx16"),
            (17, "pcid"),
            (19, "sse4_1"),
            (20, "sse4_2"),
            (21, "x2apic"),
            (22, "movbe"),
            (23, "popcnt"),
            (25, "aes"),
            (26, "xsave"),
            (28, "avx"),
            (29, "f16c"),
            (30, "rdrand"),
            (31, "hypervisor"),
        ],
    ),
    (
        0x8000_0001,
        1,
        &[
            (0, "lahf_lm"),
            (5, "abm"),
            (6, "sse4a"),
            (7, "misalignsse"),
            (8, "3dnowprefetch"),
        ],
    ),
    (
        7,
        0,
        &[
            (0, "fsgsbase"),
            (3, "bmi1"),
            (5, "avx2"),
            (7, "smep"),
            (8, "bmi2"),
            (9, "erms"),
            (10, "invpcid"),
            (16, "avx512f"),
            (17, "avx512dq"),
            (18, "rdseed"),
            (19, "adx"),
            (20, "smap"),
            (21, "avx512ifma"),
            (23, "clflushopt"),
            (24, "clwb"),
            (28, "avx512cd"),
            (29, "sha_ni"),
            (30, "avx512bw"),
            (31, "avx512vl"),
        ],
    ),
    (
        7,
        1,
        &[
            (1, "avx512vbmi"),
            (2, "umip"),
            (3, "pku"),
            (4, "ospke"),
            (6, "avx512_vbmi2"),
            (8, "gfni"),
            (9, "vaes"),
            (10, "vpclmulqdq"),
            (11, "avx512_vnni"),
            (12, "avx512_bitalg"),
            (14, "avx512_vpopcntdq"),
            (22, "rdpid"),
        ],
    ),
    (7, 2, &[(4, "fsrm"), (14, "serialize"), (31, "arch_capabilities")]),
];

fn cpu() -> Cpu {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let (max, max_ext) = (__cpuid(0).eax, __cpuid(0x8000_0000).eax);
    let text = |words: &[u32]| {
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .take_while(|&b| b != 0)
            .collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    let first = __cpuid(0);
    let signature = __cpuid(1).eax;
    let (base_family, base_model) = ((signature >> 8) & 15, (signature >> 4) & 15);
    let family = if base_family == 15 {
        15 + ((signature >> 20) & 255)
    } else {
        base_family
    };
    let model = if base_family >= 6 {
        base_model | ((signature >> 12) & 0xf0)
    } else {
        base_model
    };
    let mut name = Vec::new();
    if max_ext >= 0x8000_0004 {
        for leaf in 0x8000_0002..=0x8000_0004 {
            let part = __cpuid(leaf);
            name.extend([part.eax, part.ebx, part.ecx, part.edx]);
        }
    }
    let mut flags = Vec::new();
    for &(leaf, register, bits) in FEATURES {
        let limit = if leaf >= 0x8000_0000 { max_ext } else { max };
        if leaf > limit {
            continue;
        }
        let regs = __cpuid_count(leaf, 0);
        let word = match register {
            0 => regs.ebx,
            1 => regs.ecx,
            _ => regs.edx,
        };
        flags.extend(bits.iter().filter(|(bit, _)| word & (1 << bit) != 0).map(|(_, n)| *n));
    }
    Cpu {
        vendor: text(&[first.ebx, first.edx, first.ecx]),
        family,
        model,
        stepping: signature & 15,
        name: text(&name),
        flags: flags.join(" "),
    }
}

pub(super) fn cpuinfo(kernel: &Kernel) -> Result<String> {
    let cpu = cpu();
    let mut out = String::new();
    for i in 0..kernel.config.cpus {
        let _ = write!(
            out,
            "processor\t: {i}\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: {}\nstepping\t: {}\n",
            cpu.vendor, cpu.family, cpu.model, cpu.name, cpu.stepping
        );
        let _ = write!(
            out,
            "cpu MHz\t\t: 2000.000\ncache size\t: 8192 KB\nphysical id\t: 0\nsiblings\t: {0}\ncore id\t\t: {i}\n\
             cpu cores\t: {0}\napicid\t\t: {i}\ninitial apicid\t: {i}\nfpu\t\t: yes\nfpu_exception\t: yes\n\
             cpuid level\t: 13\nwp\t\t: yes\nflags\t\t: {1}\nbugs\t\t:\nbogomips\t: 4000.00\nclflush size\t: 64\n\
             cache_alignment\t: 64\naddress sizes\t: 46 bits physical, 48 bits virtual\npower management:\n\n",
            kernel.config.cpus, cpu.flags
        );
    }
    Ok(out)
}

/// Bytes that guests use.
fn used_memory(kernel: &Kernel) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let mut used: u64 = 0;
    for task in kernel.tasks.all_tasks() {
        if let Some(mm) = task.mm()
            && seen.insert(mm.id)
        {
            used = used.saturating_add(mm.memory_use().resident);
        }
    }
    used
}

pub(super) fn meminfo(kernel: &Kernel) -> Result<String> {
    let total = kernel.config.total_memory / 1024;
    let used = (used_memory(kernel) / 1024).min(total);
    let free = total - used;
    let rows = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Active(anon)", used),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used),
        ("Mapped", 0),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("CommitLimit", total / 2),
        ("Committed_AS", used),
        ("VmallocTotal", 34_359_738_367),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("HugePages_Total", u64::MAX),
        ("HugePages_Free", u64::MAX),
        ("HugePages_Rsvd", u64::MAX),
        ("HugePages_Surp", u64::MAX),
        ("Hugepagesize", 2048),
        ("Hugetlb", 0),
    ];
    let mut out = String::new();
    for (name, kib) in rows {
        let label = format!("{name}:");
        let _ = match kib {
            // Counts, not sizes: there are none.
            u64::MAX => writeln!(out, "{label:<15} {:8}", 0),
            kib => writeln!(out, "{label:<15} {kib:8} kB"),
        };
    }
    Ok(out)
}

/// Processor time of the whole sandbox: what lives now and what was waited for.
fn total_usage(kernel: &Kernel) -> Usage {
    let mut sum = Usage::default();
    for (_, group) in kernel.tasks.processes(&kernel.tasks.root_ns) {
        sum.add(&group.usage());
        sum.add(&group.children_usage());
    }
    sum
}

/// Nanoseconds since the sandbox began.
fn uptime_ns(kernel: &Kernel) -> u64 {
    let _ = kernel;
    boottime_now()
}

/// As the reader's time namespace has it.
fn reader_uptime(kernel: &Kernel) -> u64 {
    let up = uptime_ns(kernel);
    current().map_or(up, |me| me.ns().time.shown(Shifted::Boottime, up))
}

pub(super) fn stat(kernel: &Kernel) -> Result<String> {
    let usage = total_usage(kernel);
    let cpus = u64::from(kernel.config.cpus.max(1));
    let up = uptime_ns(kernel) / TICK_NS;
    let user = usage.user_ns / TICK_NS;
    let system = usage.system_ns / TICK_NS;
    let idle = (up * cpus).saturating_sub(user + system);
    let mut out = format!("cpu  {user} 0 {system} {idle} 0 0 0 0 0 0\n");
    for i in 0..cpus {
        let _ = writeln!(
            out,
            "cpu{i} {} 0 {} {} 0 0 0 0 0 0",
            user / cpus,
            system / cpus,
            idle / cpus
        );
    }
    let boot = realtime_now().saturating_sub(reader_uptime(kernel)) / 1_000_000_000;
    let tasks = kernel.tasks.all_tasks();
    let running = tasks.iter().filter(|t| t.is_running()).count().max(1);
    let _ = write!(
        out,
        "intr 0\nctxt 0\nbtime {boot}\nprocesses {}\nprocs_running {running}\nprocs_blocked 0\n\
         softirq 0 0 0 0 0 0 0 0 0 0 0\n",
        tasks.len()
    );
    Ok(out)
}

pub(super) fn uptime(kernel: &Kernel) -> Result<String> {
    let up = uptime_ns(kernel);
    let usage = total_usage(kernel);
    let idle = (up * u64::from(kernel.config.cpus.max(1))).saturating_sub(usage.user_ns + usage.system_ns);
    let show = |ns: u64| format!("{}.{:02}", ns / 1_000_000_000, ns % 1_000_000_000 / TICK_NS);
    Ok(format!("{} {}\n", show(reader_uptime(kernel)), show(idle)))
}

pub(super) fn loadavg(proc: &Arc<Proc>) -> Result<String> {
    let tasks = proc.kernel.tasks.all_tasks();
    let running = tasks.iter().filter(|t| t.is_running()).count().max(1);
    let last = tasks.iter().map(|t| t.pid.in_ns(&proc.ns)).max().unwrap_or(1);
    Ok(format!("0.00 0.00 0.00 {running}/{} {last}\n", tasks.len()))
}

pub(super) fn version() -> Result<String> {
    Ok(format!("{}\n", crate::syscalls::banner()))
}

pub(super) fn vmstat(kernel: &Kernel) -> Result<String> {
    let total = kernel.config.total_memory / 4096;
    let used = used_memory(kernel) / 4096;
    let mut out = format!("nr_free_pages {}\n", total.saturating_sub(used));
    let _ = writeln!(out, "nr_anon_pages {used}");
    for name in [
        "nr_file_pages",
        "nr_dirty",
        "nr_writeback",
        "nr_mapped",
        "nr_shmem",
        "pgpgin",
        "pgpgout",
        "pswpin",
        "pswpout",
        "pgfault",
        "pgmajfault",
        "oom_kill",
    ] {
        let _ = writeln!(out, "{name} 0");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn processors_are_listed_in_ranges() {
        assert_eq!(super::cpu_list(&[0b1011_1101]), "0,2-5,7");
        assert_eq!(super::cpu_list(&[u64::MAX, 1]), "0-64");
        assert_eq!(super::cpu_list(&[]), "");
    }
}
