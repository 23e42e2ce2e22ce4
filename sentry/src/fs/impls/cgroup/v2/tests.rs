//! Files and groups without processes; what processes have to do with it is for `tests/syscalls`.

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, files_of, has_file};
use crate::boot::config::{CgroupConfig, HierarchyConfig, NetworkMode, SandboxConfig};
use crate::cgroup::{Group, Hierarchy};
use crate::fs::impls::pseudo::Attr;
use crate::kernel::Kernel;
use crate::task::Cgroup;

struct Here {
    kernel: Arc<Kernel>,
    container: Arc<Cgroup>,
    hierarchy: Arc<Hierarchy>,
}

fn here(controllers: &str, files: &[&str], values: &[(&str, &str)]) -> Here {
    let config = SandboxConfig {
        platform: "ptrace".to_owned(),
        strace: false,
        debug: false,
        network: NetworkMode::None,
        exclusive_rootfs: false,
        cpus: 4,
        total_memory: 1 << 30,
        pids_limit: None,
    };
    let platform = platform::open("ptrace", platform::OpenOptions::default()).unwrap();
    let executor = crate::executor::Executor::new(platform.clone()).unwrap();
    let kernel = Kernel::new(platform, executor, config);
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    let values = values
        .iter()
        .map(|(file, value)| ((*file).to_owned(), (*value).to_owned()));
    let config = CgroupConfig {
        hierarchies: vec![HierarchyConfig {
            controllers: words(controllers),
            group: "/x".to_owned(),
            files: files.iter().map(|name| (*name).to_owned()).collect(),
            ..HierarchyConfig::default()
        }],
        controllers: words(controllers),
        own_namespace: true,
        values: values.collect(),
    };
    let container = super::super::container(&kernel, None, Vec::new(), &config);
    let hierarchy = container.hierarchies.find(0).unwrap();
    Here {
        kernel,
        container,
        hierarchy,
    }
}

impl Here {
    fn with<T>(
        &self,
        group: &Arc<Group>,
        file: &str,
        what: impl FnOnce(&super::Def, &At<'_>) -> Result<T>,
    ) -> Result<T> {
        let files = files_of(&self.hierarchy);
        let def = files.iter().find(|def| def.name == file).ok_or(Errno::ENOENT)?;
        if !has_file(&self.hierarchy, group, file) {
            return Err(Errno::ENOENT);
        }
        let at = At {
            kernel: &self.kernel,
            container: &self.container,
            hierarchy: &self.hierarchy,
            group,
            name: file,
            by: None,
        };
        what(def, &at)
    }

    fn read(&self, group: &Arc<Group>, file: &str) -> Result<String> {
        self.with(group, file, |def, at| def.read(at))
    }

    fn write(&self, group: &Arc<Group>, file: &str, text: &str) -> Result<()> {
        self.with(group, file, |def, at| def.write(at, text))
    }

    /// Writes, and gives what is read then.
    fn put(&self, group: &Arc<Group>, file: &str, text: &str) -> Result<String> {
        self.write(group, file, text)?;
        self.read(group, file)
    }

    fn add(&self, parent: &Arc<Group>, name: &str) -> Arc<Group> {
        let all = &self.container.hierarchies;
        all.add_group(&self.kernel, parent, name.as_bytes(), Attr::root(0o755))
            .unwrap()
    }
}

#[test]
fn what_was_given_is_shown() {
    let values = [
        ("memory.max", "104857600"),
        ("memory.low", "4097"),
        ("cpu.weight", "39"),
        ("cpu.max", "50000 100000"),
        ("cpu.max.burst", "1000"),
        ("cpuset.cpus", "1-2"),
        ("io.max", "8:0 rbps=5"),
        ("io.max", "8:0 wiops=6"),
        ("hugetlb.2MB.max", "4194304"),
        ("pids.max", "7"),
    ];
    let here = here("cpuset cpu io memory pids", &[], &values);
    let top = &here.hierarchy.top;
    for (file, wanted) in [
        ("cgroup.controllers", "cpuset cpu io memory pids\n"),
        ("memory.max", "104857600\n"),
        ("memory.low", "4096\n"),
        ("memory.min", "0\n"),
        ("memory.high", "max\n"),
        ("memory.swap.max", "max\n"),
        ("memory.current", "0\n"),
        ("cpu.weight", "39\n"),
        ("cpu.max", "50000 100000\n"),
        ("cpu.max.burst", "1000\n"),
        ("cpuset.cpus", "1-2\n"),
        ("cpuset.cpus.effective", "1-2\n"),
        ("cpuset.mems.effective", "0\n"),
        ("io.max", "8:0 rbps=5 wbps=max riops=max wiops=6\n"),
        ("io.weight", "default 100\n"),
        ("pids.max", "7\n"),
        ("pids.peak", "0\n"),
    ] {
        assert_eq!(here.read(top, file).as_deref(), Ok(wanted), "{file}");
    }
    assert_eq!(here.read(top, "hugetlb.2MB.max"), Err(Errno::ENOENT));
    assert_eq!(here.container.own_limit().load(std::sync::atomic::Ordering::Relaxed), 7);
}

#[test]
fn files_are_those_of_the_host() {
    let here = here(
        "memory hugetlb",
        &["memory.max", "hugetlb.2MB.max", "hugetlb.2MB.current", "x"],
        &[],
    );
    let names: Vec<String> = files_of(&here.hierarchy)
        .iter()
        .map(|def| def.name.to_string())
        .collect();
    let of: Vec<&str> = names
        .iter()
        .map(|s| &**s)
        .filter(|name| !name.starts_with("cgroup."))
        .collect();
    assert_eq!(of, ["cpu.stat", "hugetlb.2MB.current", "hugetlb.2MB.max", "memory.max"]);
    let alone = self::here("", &[], &[]);
    let top = &alone.hierarchy.top;
    assert_eq!(alone.read(top, "memory.max"), Err(Errno::ENOENT));
    assert_eq!(
        alone.write(top, "cgroup.subtree_control", "+memory"),
        Err(Errno::ENOENT)
    );
}

#[test]
fn controllers_are_given_and_taken_back() {
    let here = here("cpu memory pids", &[], &[]);
    let (top, control) = (&here.hierarchy.top, "cgroup.subtree_control");
    let a = here.add(top, "a");
    let b = here.add(&a, "b");
    for file in ["memory.max", "pids.max", "cpu.max"] {
        assert_eq!(here.read(&a, file), Err(Errno::ENOENT), "{file}");
    }
    assert_eq!(here.read(&a, "cpu.stat").unwrap().lines().count(), 3);
    assert_eq!(here.write(&a, control, "+memory"), Err(Errno::ENOENT));
    assert_eq!(here.write(top, control, "+nope"), Err(Errno::EINVAL));
    assert_eq!(here.write(top, control, "+io"), Err(Errno::ENOENT));
    assert_eq!(here.put(top, control, "+pids +memory"), Ok("memory pids\n".to_owned()));
    assert_eq!(here.read(&a, "cgroup.controllers").as_deref(), Ok("memory pids\n"));
    assert_eq!(here.put(&a, "memory.max", "1M").as_deref(), Ok("1048576\n"));
    assert_eq!(here.put(&a, "pids.max", "3").as_deref(), Ok("3\n"));
    assert_eq!(here.read(&b, "memory.max"), Err(Errno::ENOENT));
    here.write(&a, control, "+memory").unwrap();
    assert_eq!(here.read(&b, "memory.max").as_deref(), Ok("max\n"));
    assert_eq!(here.write(top, control, "-memory"), Err(Errno::EBUSY));
    here.write(&a, control, "-memory").unwrap();
    // Back again, it is new.
    here.write(top, control, "-memory -pids").unwrap();
    assert_eq!(here.read(&a, "memory.max"), Err(Errno::ENOENT));
    here.write(top, control, "+memory +pids").unwrap();
    assert_eq!(here.read(&a, "memory.max").as_deref(), Ok("max\n"));
    assert_eq!(here.read(&a, "pids.max").as_deref(), Ok("max\n"));
}

#[test]
fn values_are_checked_as_linux_does() {
    let here = here("cpuset cpu io memory pids", &[], &[]);
    let top = &here.hierarchy.top;
    for (file, text, wanted) in [
        ("memory.max", "-1", Err(Errno::EINVAL)),
        ("memory.max", "max", Ok("max\n")),
        ("memory.high", "2k", Ok("0\n")),
        ("memory.oom.group", "2", Err(Errno::EINVAL)),
        ("memory.peak", "0", Err(Errno::EINVAL)),
        ("cpu.max", "20000", Ok("20000 100000\n")),
        ("cpu.max.burst", "20001", Err(Errno::EINVAL)),
        ("cpu.max.burst", "20000", Ok("20000\n")),
        ("cpu.max", "10000", Err(Errno::EINVAL)),
        ("cpu.max", "max 50000", Ok("max 50000\n")),
        ("cpu.weight", "0", Err(Errno::ERANGE)),
        ("cpu.weight", "10001", Err(Errno::ERANGE)),
        ("cpu.weight.nice", "-21", Err(Errno::ERANGE)),
        ("cpu.weight.nice", "-5", Ok("-5\n")),
        ("cpu.weight", "100", Ok("100\n")),
        ("cpu.idle", "1", Ok("1\n")),
        ("cpu.weight", "100", Err(Errno::EINVAL)),
        ("cpuset.cpus", "0-4", Err(Errno::EINVAL)),
        ("cpuset.cpus", "3,1", Ok("1,3\n")),
        ("cpuset.cpus", "", Ok("\n")),
        ("cpuset.cpus.partition", "x", Err(Errno::EINVAL)),
        (
            "cpuset.cpus.partition",
            "root",
            Ok("root invalid (Parent is not a partition root)\n"),
        ),
        ("io.weight", "250", Ok("default 250\n")),
        ("io.weight", "8:0 7", Ok("default 250\n8:0 7\n")),
        ("io.weight", "8:0 default", Ok("default 250\n")),
        ("io.weight", "0", Err(Errno::EINVAL)),
        ("io.bfq.weight", "1001", Err(Errno::ERANGE)),
        ("io.max", "8 rbps=1", Err(Errno::EINVAL)),
        ("io.max", "8:0 rbps=1", Ok("8:0 rbps=1 wbps=max riops=max wiops=max\n")),
        ("io.max", "8:0 rbps=max", Ok("")),
        ("pids.max", "-1", Err(Errno::EINVAL)),
        ("cgroup.max.depth", "-1", Err(Errno::ERANGE)),
        ("cgroup.max.descendants", "max", Ok("max\n")),
    ] {
        let got = here.put(top, file, text);
        assert_eq!(got.as_deref(), wanted.as_ref().map(|s| *s), "{file} {text}");
    }
}

#[test]
fn what_is_not_set_comes_from_above() {
    let here = here("cpuset", &[], &[("cpuset.cpus", "0-2")]);
    let top = &here.hierarchy.top;
    let a = here.add(top, "a");
    here.write(top, "cgroup.subtree_control", "+cpuset").unwrap();
    for (own, effective) in [("", "0-2\n"), ("2-3", "2\n"), ("3", "0-2\n")] {
        here.write(&a, "cpuset.cpus", own).unwrap();
        assert_eq!(
            here.read(&a, "cpuset.cpus.effective").as_deref(),
            Ok(effective),
            "{own:?}"
        );
    }
}

#[test]
fn groups_have_limits_of_their_number() {
    let here = here("memory", &[], &[]);
    let top = &here.hierarchy.top;
    let a = here.add(top, "a");
    let room = |group: &Arc<Group>| super::has_room(group);
    here.write(top, "cgroup.max.depth", "1").unwrap();
    assert_eq!((room(top), room(&a)), (true, false));
    here.write(top, "cgroup.max.depth", "max").unwrap();
    here.write(top, "cgroup.max.descendants", "1").unwrap();
    assert_eq!((room(top), room(&a)), (false, false));
}
