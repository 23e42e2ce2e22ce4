//! `/proc/sys/kernel`

use std::sync::Arc;

use abi::errno::Result;

use super::{constant, number, steer, words};
use crate::fs::impls::proc::{Proc, machine};
use crate::fs::impls::pseudo::{DirBuilder, Text, parse_number};
use crate::kernel::Kernel;
use crate::task::current;

const INT: i64 = i32::MAX as i64;

pub(super) fn fill(dir: &mut DirBuilder<'_>, proc: &Arc<Proc>) {
    constant(dir, "ostype", "Linux");
    constant(dir, "osrelease", machine::RELEASE);
    constant(dir, "version", machine::VERSION);
    dir.file("hostname", 0o644, Name { domain: false });
    dir.file("domainname", 0o644, Name { domain: true });
    steer::kernel(dir, &proc.kernel, "pid_max", |s| &s.pid_max, (301, 4_194_304));
    steer::kernel(dir, &proc.kernel, "threads-max", |s| &s.threads_max, (20, INT));
    number(dir, "tainted", 0, 0, INT);
    number(dir, "panic", 0, -1, INT);
    number(dir, "panic_on_oops", 0, 0, 1);
    number(dir, "sysrq", 0, 0, 511);
    constant(dir, "cap_last_cap", crate::cred::cap::LAST.to_string());
    words(dir, "core_pattern", "core", 127);
    number(dir, "core_uses_pid", 0, 0, 1);
    number(dir, "core_pipe_limit", 0, 0, INT);
    number(dir, "randomize_va_space", 2, 0, 2);
    number(dir, "dmesg_restrict", 1, 0, 1);
    number(dir, "kptr_restrict", 1, 0, 2);
    number(dir, "perf_event_paranoid", 4, -1, 4);
    number(dir, "unprivileged_bpf_disabled", 2, 0, 2);
    number(dir, "io_uring_disabled", 2, 0, 2);
    number(dir, "kexec_load_disabled", 1, 0, 1);
    number(dir, "modules_disabled", 1, 1, 1);
    number(dir, "ngroups_max", 65536, 65536, 65536);
    number(dir, "overflowuid", 65534, 0, 65535);
    number(dir, "overflowgid", 65534, 0, 65535);
    constant(dir, "printk", "4\t4\t1\t7");
    number(dir, "print-fatal-signals", 0, 0, INT);
    number(dir, "sched_rr_timeslice_ms", 100, 0, INT);
    number(dir, "sched_rt_period_us", 1_000_000, 1, INT);
    number(dir, "sched_rt_runtime_us", 950_000, -1, INT);
    number(dir, "sched_autogroup_enabled", 1, 0, 1);
    number(dir, "sched_child_runs_first", 0, 0, 1);
    number(dir, "timer_migration", 1, 0, 1);
    dir.file("ns_last_pid", 0o644, LastPid(proc.kernel.clone()));
    dir.dir("yama", |d| number(d, "ptrace_scope", 0, 0, 3));
    dir.dir("keys", |d| {
        number(d, "maxkeys", 200, 0, INT);
        number(d, "maxbytes", 20000, 0, INT);
        number(d, "root_maxkeys", 1_000_000, 0, INT);
        number(d, "root_maxbytes", 25_000_000, 0, INT);
    });
    dir.dir("seccomp", |d| {
        constant(
            d,
            "actions_avail",
            "kill_process kill_thread trap errno user_notif trace log allow",
        );
        words(
            d,
            "actions_logged",
            "kill_process kill_thread trap errno user_notif trace log",
            127,
        );
    });
    dir.dir("random", random);
    let k = &proc.kernel;
    steer::ipc_large(dir, k, "shmmax", |l| &l.shmmax);
    steer::ipc_large(dir, k, "shmall", |l| &l.shmall);
    number(dir, "shm_rmid_forced", 0, 0, 0);
    steer::ipc(dir, k, "shmmni", |l| &l.shmmni, (0, 32768));
    steer::ipc(dir, k, "msgmax", |l| &l.msgmax, (0, INT));
    steer::ipc(dir, k, "msgmnb", |l| &l.msgmnb, (0, INT));
    steer::ipc(dir, k, "msgmni", |l| &l.msgmni, (0, 32768));
    steer::ipc(dir, k, "msg_next_id", |l| &l.msg_next_id, (-1, INT));
    steer::ipc(dir, k, "sem_next_id", |l| &l.sem_next_id, (-1, INT));
    steer::ipc(dir, k, "shm_next_id", |l| &l.shm_next_id, (-1, INT));
    dir.file("sem", 0o644, steer::Sem(k.clone()));
}

fn random(dir: &mut DirBuilder<'_>) {
    constant(dir, "poolsize", "256");
    constant(dir, "entropy_avail", "256");
    number(dir, "write_wakeup_threshold", 256, 0, 256);
    number(dir, "urandom_min_reseed_secs", 60, 0, INT);
    let boot = uuid();
    dir.text("boot_id", move || Ok(boot.clone()));
    dir.text("uuid", || Ok(uuid()));
}

fn uuid() -> String {
    let mut bytes = [0u8; 16];
    let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    let mut value = u128::from_be_bytes(bytes);
    // Version 4, variant 1.
    value = (value & !(0xf << 76)) | (4 << 76);
    value = (value & !(3 << 62)) | (2 << 62);
    let hex = format!("{value:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    format!(
        "{}-{}-{}-{}-{}\n",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

/// The number that was given last in the reader's pid namespace: the next one comes behind it.
struct LastPid(Arc<Kernel>);

impl Text for LastPid {
    fn read(&self) -> Result<Vec<u8>> {
        let task = current().ok_or(abi::Errno::EPERM)?;
        Ok(format!("{}\n", self.0.tasks.last_pid(task.pid_ns())).into_bytes())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let task = current().ok_or(abi::Errno::EPERM)?;
        let ns = task.pid_ns();
        if !task.cred().has_cap_in(&ns.user_ns, crate::cred::cap::SYS_ADMIN) {
            return Err(abi::Errno::EPERM);
        }
        let number = i32::try_from(parse_number(data)?).map_err(|_| abi::Errno::EINVAL)?;
        if number < 0 || i64::from(number) > self.0.tunables.pid_max.get() {
            return Err(abi::Errno::EINVAL);
        }
        self.0.tasks.set_last_pid(ns, number);
        Ok(data.len())
    }
}

/// Host or domain name of the reader's UTS namespace.
struct Name {
    domain: bool,
}

impl Text for Name {
    fn read(&self) -> Result<Vec<u8>> {
        let names = current().map(|t| t.ns().uts.names.lock().clone()).unwrap_or_default();
        let mut out = if self.domain { names.domain } else { names.host };
        if out.is_empty() && self.domain {
            out = b"(none)".to_vec();
        }
        out.push(b'\n');
        Ok(out)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, data: &[u8], _pos: u64) -> Result<usize> {
        let task = current().ok_or(abi::Errno::EPERM)?;
        let ns = task.ns().uts.clone();
        if !task.cred().has_cap_in(&ns.user_ns, crate::cred::cap::SYS_ADMIN) {
            return Err(abi::Errno::EPERM);
        }
        let line = data.split(|&b| b == b'\n' || b == 0).next().unwrap_or_default();
        let name = line.get(..line.len().min(64)).unwrap_or(line).to_vec();
        let mut names = ns.names.lock();
        if self.domain {
            names.domain = name;
        } else {
            names.host = name;
        }
        Ok(data.len())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn uuids_have_version_and_variant() {
        let id = super::uuid();
        assert_eq!(id.len(), 37);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
    }
}
