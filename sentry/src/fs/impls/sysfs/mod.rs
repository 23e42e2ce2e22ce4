//! `sysfs(5)`: the little that programs look at, and all of it true.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::pseudo::{DirBuilder, PseudoFs, fixed};
use crate::fs::{FileType, FsType, MountArgs, SuperBlock};

/// `SYSFS_MAGIC`
const MAGIC: u64 = 0x6265_6572;

/// The file system type.
pub struct SysFsType;

impl FsType for SysFsType {
    fn name(&self) -> &'static str {
        "sysfs"
    }

    fn userns_mount(&self) -> bool {
        true
    }

    fn mount(&self, args: &MountArgs<'_>) -> Result<Arc<SuperBlock>> {
        if !args.data.is_empty() {
            return Err(Errno::EINVAL);
        }
        let sb = SuperBlock::new(Box::new(PseudoFs::new(MAGIC, String::new())), "sysfs");
        let mut root = DirBuilder::new(&sb);
        let cpus = args.kernel.config.cpus.max(1);
        root.dir("devices", |d| devices(d, cpus));
        root.dir("class", |d| {
            d.dir("net", |d| {
                d.link("lo", "../../devices/virtual/net/lo");
            });
            for name in ["block", "mem", "tty"] {
                d.dir(name, |_| {});
            }
        });
        root.dir("fs", |d| {
            d.dir("cgroup", |_| {});
        });
        root.dir("kernel", |d| {
            d.dir("mm", |d| {
                d.dir("transparent_hugepage", |d| {
                    line(d, "enabled", "always [madvise] never");
                    line(d, "hpage_pmd_size", "2097152");
                });
            });
            d.dir("debug", |_| {});
            d.dir("security", |_| {});
        });
        for name in ["block", "bus", "dev", "firmware", "module", "power"] {
            root.dir(name, |_| {});
        }
        sb.set_root(fixed(&sb, FileType::Directory, root.into_ops()));
        Ok(sb)
    }
}

fn line(dir: &mut DirBuilder<'_>, name: &str, text: impl Into<String>) {
    let mut text = text.into();
    text.push('\n');
    dir.text(name, move || Ok(text.clone()));
}

fn devices(dir: &mut DirBuilder<'_>, cpus: u32) {
    let range = if cpus == 1 {
        "0".to_owned()
    } else {
        format!("0-{}", cpus - 1)
    };
    dir.dir("system", |d| {
        d.dir("cpu", |d| {
            for name in ["online", "possible", "present"] {
                line(d, name, range.clone());
            }
            line(d, "offline", "");
            line(d, "isolated", "");
            line(d, "kernel_max", "1023");
            for cpu in 0..cpus {
                d.dir(format!("cpu{cpu}"), |d| {
                    d.dir("topology", |d| {
                        line(d, "physical_package_id", "0");
                        line(d, "core_id", cpu.to_string());
                        line(d, "thread_siblings_list", cpu.to_string());
                        line(d, "core_cpus_list", cpu.to_string());
                        line(d, "core_siblings_list", range.clone());
                        line(d, "package_cpus_list", range.clone());
                    });
                });
            }
        });
        d.dir("node", |d| {
            line(d, "online", "0");
            line(d, "possible", "0");
            line(d, "has_cpu", "0");
            line(d, "has_memory", "0");
            d.dir("node0", |d| {
                line(d, "cpulist", range.clone());
                line(d, "distance", "10");
            });
        });
    });
    dir.dir("virtual", |d| {
        d.dir("net", |d| {
            d.dir("lo", |d| {
                for (name, value) in [
                    ("address", "00:00:00:00:00:00"),
                    ("broadcast", "00:00:00:00:00:00"),
                    ("addr_len", "6"),
                    ("dev_id", "0x0"),
                    ("flags", "0x9"),
                    ("ifindex", "1"),
                    ("iflink", "1"),
                    ("mtu", "65536"),
                    ("operstate", "unknown"),
                    ("carrier", "1"),
                    ("tx_queue_len", "1000"),
                    ("type", "772"),
                ] {
                    line(d, name, value);
                }
            });
        });
    });
}
