//! Control groups of version 1: hierarchies, groups, who is in them, and what holds there.
//!
//! Each case has a cgroup namespace and mounts of its own, so that the group it was started in is the top that it sees.

use std::ffi::CString;

use tests::prelude::*;

/// Mounts a hierarchy on `./m` and makes the group `./m/g`; skips where there is none.
unsafe fn with_group(controller: &CStr) {
    let wanted = format!(":{}:", controller.to_str().unwrap());
    if !text(c"/proc/self/cgroup").contains(&wanted) {
        skip("no such hierarchy of cgroup v1");
    }
    ok(unshare(CLONE_NEWNS | CLONE_NEWCGROUP));
    ok(libc::mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
    ok(mkdir(p(c"m"), 0o755));
    let options = controller.as_ptr().cast();
    ok(libc::mount(p(c"cgroup"), p(c"m"), p(c"cgroup"), 0, options));
    // One that failed before may have left it.
    rmdir(p(c"m/g"));
    ok(mkdir(p(c"m/g"), 0o755));
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Runs `body` in a process that is in `./m/g`, and waits for its end.
unsafe fn inside(body: impl FnOnce()) {
    in_child(|| {
        put(c"m/g/tasks", b"0");
        body();
    });
}

/// Gone as soon as the last process is; a zombie does not count, but its end may take a moment.
unsafe fn remove(path: &CStr) {
    until(|| rmdir(p(path)) == 0);
}

unsafe fn write_fails(error: i32, path: &CStr, data: &[u8]) {
    let fd = open(path, O_WRONLY);
    fails(error, write(fd, data.as_ptr().cast(), data.len()));
    close(fd);
}

fn lines(path: &CStr) -> Vec<i32> {
    text(path).lines().map(|line| line.parse().unwrap()).collect()
}

/// The path in `/proc/PID/cgroup`.
fn place(of: &str, controller: &str) -> String {
    let all = text(&CString::new(format!("/proc/{of}/cgroup")).unwrap());
    let line = all.lines().find(|line| line.split(':').nth(1) == Some(controller));
    line.unwrap().splitn(3, ':').nth(2).unwrap().to_owned()
}

tests::cases! {
    fn groups_are_directories() {
        with_group(c"freezer");
        eq(text(c"m/g/notify_on_release"), "0\n");
        put(c"m/g/notify_on_release", b"1\n");
        ok(mkdir(p(c"m/g/deeper"), 0o755));
        eq(text(c"m/g/deeper/notify_on_release"), "1\n");
        eq(stat(c"m/g").st_nlink, 3);
        fails(EEXIST, mkdir(p(c"m/g/tasks"), 0o755));
        fails(EEXIST, mkdir(p(c"m/g/deeper"), 0o755));
        fails(EINVAL, mkdir(p(c"m/g/a\nb"), 0o755));
        fails(EACCES, libc::open(p(c"m/g/new"), O_CREAT | O_WRONLY, 0o644));
        fails(EPERM, symlink(p(c"x"), p(c"m/g/new")));
        fails(EPERM, unlink(p(c"m/g/tasks")));
        fails(EBUSY, rmdir(p(c"m/g")));
        let old = open(c"m/g/deeper/tasks", O_RDONLY);
        ok(rmdir(p(c"m/g/deeper")));
        let mut byte = [0_u8; 1];
        fails(ENODEV, read(old, byte.as_mut_ptr().cast(), 1));
        fails(ENOENT, libc::open(p(c"m/g/deeper"), O_RDONLY));
        ok(rmdir(p(c"m/g")));
    }
    fn files_belong_to_who_made_the_group() {
        with_group(c"freezer");
        ok(chown(p(c"m/g"), 1000, 1000));
        eq((stat(c"m/g").st_uid, stat(c"m/g/tasks").st_uid), (1000, 0));
        as_user(1000, 1000, || {
            ok(mkdir(p(c"m/g/mine"), 0o700));
            eq((stat(c"m/g/mine").st_uid, stat(c"m/g/mine/tasks").st_uid), (1000, 1000));
            put(c"m/g/mine/tasks", b"0");
            write_fails(EACCES, c"m/g/mine/tasks", getppid().to_string().as_bytes());
            fails(EACCES, libc::open(p(c"m/g/tasks"), O_WRONLY));
        });
        ok(chmod(p(c"m/g/tasks"), 0o600));
        eq(stat(c"m/g/tasks").st_mode & 0o777, 0o600);
        remove(c"m/g/mine");
        ok(rmdir(p(c"m/g")));
    }
    fn processes_move_and_are_listed() {
        with_group(c"freezer");
        eq(place("self", "freezer"), "/");
        eq(lines(c"m/g/cgroup.procs"), []);
        inside(|| {
            let me = getpid();
            eq(lines(c"m/g/cgroup.procs"), [me]);
            eq(lines(c"m/g/tasks"), [me]);
            eq(place("self", "freezer"), "/g");
            fails(EBUSY, rmdir(p(c"m/g")));
            // A child is born where its parent is.
            in_child(|| {
                eq(lines(c"m/g/tasks"), [me, getpid()]);
                put(c"m/cgroup.procs", getpid().to_string().as_bytes());
                eq(lines(c"m/g/tasks"), [me]);
            });
        });
        write_fails(ESRCH, c"m/g/tasks", b"99999999");
        write_fails(EINVAL, c"m/g/tasks", b"x");
        write_fails(EINVAL, c"m/g/cgroup.procs", b"-1");
        remove(c"m/g");
    }
    fn one_thread_moves_alone() {
        with_group(c"freezer");
        in_child(|| {
            let flag = shared(2);
            let thread = std::thread::spawn(move || {
                put(c"m/g/tasks", b"0");
                flag[0].store(gettid(), SeqCst);
                until(|| flag[1].load(SeqCst) == 1);
            });
            until(|| flag[0].load(SeqCst) != 0);
            eq(lines(c"m/g/tasks"), [flag[0].load(SeqCst)]);
            eq(place("self", "freezer"), "/");
            put(c"m/g/cgroup.procs", b"0");
            eq(lines(c"m/g/tasks").len(), 2);
            flag[1].store(1, SeqCst);
            thread.join().unwrap();
        });
        remove(c"m/g");
    }
    fn a_namespace_hides_what_is_above() {
        with_group(c"freezer");
        inside(|| {
            ok(unshare(CLONE_NEWCGROUP));
            eq(place("self", "freezer"), "/");
            eq(place(&getppid().to_string(), "freezer"), "/..");
            ok(mkdir(p(c"inner"), 0o755));
            ok(libc::mount(p(c"x"), p(c"inner"), p(c"cgroup"), 0, c"freezer".as_ptr().cast()));
            eq(lines(c"inner/tasks"), [getpid()]);
            // New hierarchies are made by the first namespace alone.
            let named = c"none,name=of-a-test".as_ptr().cast();
            fails(EPERM, libc::mount(p(c"x"), p(c"inner"), p(c"cgroup"), 0, named));
            ok(umount2(p(c"inner"), 0));
        });
        remove(c"m/g");
    }
    fn a_child_is_born_in_a_group() {
        if !text(c"/proc/self/cgroup").contains("0::") {
            skip("no cgroup v2");
        }
        ok(unshare(CLONE_NEWNS | CLONE_NEWCGROUP));
        ok(libc::mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
        ok(mkdir(p(c"m"), 0o755));
        ok(libc::mount(p(c"cgroup"), p(c"m"), p(c"cgroup2"), 0, null()));
        rmdir(p(c"m/g"));
        ok(mkdir(p(c"m/g"), 0o755));
        let group = open(c"m/g", O_RDONLY | O_DIRECTORY);
        let born = |fd: i32, size: usize| {
            let mut args = [0_u64; 11];
            (args[0], args[4], args[10]) = (CLONE_INTO_CGROUP, SIGCHLD as u64, fd as u64);
            syscall(SYS_clone3, args.as_ptr(), size) as i32
        };
        let child = born(group, 88);
        if child == 0 {
            _exit(i32::from(place("self", "") != "/g"));
        }
        wait_exit(ok(child), 0);
        eq(place("self", ""), "/");
        fails(EBADF, born(open(c"m/g/cgroup.procs", O_RDONLY), 88));
        fails(EBADF, born(open(c"/", O_RDONLY), 88));
        fails(EBADF, born(999, 88));
        fails(EINVAL, born(group, 80));
        as_user(1000, 1000, || fails(EACCES, born(group, 88)));
        remove(c"m/g");
        fails(ENOENT, born(group, 88));
    }
    fn options_name_a_hierarchy() {
        with_group(c"freezer");
        ok(rmdir(p(c"m/g")));
        ok(mkdir(p(c"n"), 0o755));
        let mount = |options: &CStr| libc::mount(p(c"x"), p(c"n"), p(c"cgroup"), 0, options.as_ptr().cast());
        for wrong in [c"nonsense", c"none", c"none,freezer", c"all,freezer", c"name=", c"name=a/b", c"name=a,name=b"] {
            fails(EINVAL, mount(wrong));
        }
        ok(mount(c"freezer"));
        let info = text(c"/proc/self/mountinfo");
        yes(info.lines().any(|line| line.contains("/n rw") && line.ends_with("- cgroup x rw,freezer")));
        ok(umount2(p(c"n"), 0));
        let mut fs: libc::statfs = zeroed();
        ok(libc::statfs(p(c"m"), &mut fs));
        eq(fs.f_type, 0x27_e0eb);
        let controllers = text(c"/proc/cgroups");
        let row = controllers.lines().find(|line| line.starts_with("freezer\t")).unwrap();
        let mine = text(c"/proc/self/cgroup");
        let id = row.split('\t').nth(1).unwrap();
        yes(mine.lines().any(|line| line.starts_with(&format!("{id}:freezer:"))));
    }
    fn pids_are_limited() {
        with_group(c"pids");
        eq(text(c"m/g/pids.max"), "max\n");
        put(c"m/g/pids.max", b"2");
        ok(mkdir(p(c"m/g/below"), 0o755));
        in_child(|| {
            put(c"m/g/below/tasks", b"0");
            eq((text(c"m/g/pids.current"), text(c"m/g/below/pids.current")), ("1\n".into(), "1\n".into()));
            let child = spawn(|| {
                pause();
                0
            });
            fails(EAGAIN, fork());
            eq(text(c"m/g/pids.current"), "2\n");
            ok(kill(child, SIGKILL));
            wait_signal(child, SIGKILL);
            wait_exit(spawn(|| 0), 0);
            put(c"m/g/pids.max", b"1");
            fails(EAGAIN, fork());
            put(c"m/g/pids.max", b"max");
            wait_exit(spawn(|| 0), 0);
        });
        until(|| text(c"m/g/pids.current") == "0\n");
        write_fails(EINVAL, c"m/g/pids.max", b"-1");
        write_fails(EINVAL, c"m/g/pids.max", b"many");
        // Who is there already may stay, and more may come from outside.
        put(c"m/g/pids.max", b"0");
        inside(|| fails(EAGAIN, fork()));
        remove(c"m/g/below");
        remove(c"m/g");
    }
    fn the_freezer_stops_and_lets_go() {
        with_group(c"freezer");
        let beats = shared(1);
        let child = spawn(|| loop {
            beats[0].fetch_add(1, SeqCst);
        });
        put(c"m/g/tasks", child.to_string().as_bytes());
        until(|| beats[0].load(SeqCst) > 0);
        put(c"m/g/freezer.state", b"FROZEN\n");
        until(|| text(c"m/g/freezer.state") == "FROZEN\n");
        eq(text(c"m/g/freezer.self_freezing"), "1\n");
        let frozen = beats[0].load(SeqCst);
        sleep_ms(50);
        eq(beats[0].load(SeqCst), frozen);
        put(c"m/g/freezer.state", b"THAWED");
        until(|| beats[0].load(SeqCst) > frozen);
        // A group below a frozen one is frozen; who is moved out goes on.
        ok(mkdir(p(c"m/g/below"), 0o755));
        put(c"m/g/below/tasks", child.to_string().as_bytes());
        put(c"m/g/freezer.state", b"FROZEN");
        until(|| text(c"m/g/below/freezer.state") == "FROZEN\n");
        eq(text(c"m/g/below/freezer.parent_freezing"), "1\n");
        eq(text(c"m/g/below/freezer.self_freezing"), "0\n");
        put(c"m/g/freezer.state", b"THAWED");
        write_fails(EINVAL, c"m/g/freezer.state", b"COLD");
        ok(kill(child, SIGKILL));
        wait_signal(child, SIGKILL);
        remove(c"m/g/below");
        remove(c"m/g");
    }
    fn devices_are_denied() {
        with_group(c"devices");
        put(c"m/g/devices.deny", b"a");
        eq(text(c"m/g/devices.list"), "");
        put(c"m/g/devices.allow", b"c 1:3 rm");
        put(c"m/g/devices.allow", b"c 1:5 rwm");
        put(c"m/g/devices.deny", b"c 1:5 m");
        eq(text(c"m/g/devices.list"), "c 1:3 rm\nc 1:5 rw\n");
        inside(|| {
            close(open(c"/dev/null", O_RDONLY));
            fails(EPERM, try_open(c"/dev/null", O_WRONLY));
            close(open(c"/dev/zero", O_RDWR));
            fails(EPERM, try_open(c"/dev/urandom", O_RDONLY));
            fails(EPERM, mknod(p(c"zero"), S_IFCHR | 0o600, makedev(1, 5)));
        });
        ok(mkdir(p(c"m/g/below"), 0o755));
        eq(text(c"m/g/below/devices.list"), text(c"m/g/devices.list"));
        write_fails(EPERM, c"m/g/below/devices.allow", b"c 1:9 r");
        write_fails(EPERM, c"m/g/below/devices.allow", b"a");
        write_fails(EINVAL, c"m/g/devices.deny", b"a");
        for wrong in ["x", "c", "c 1", "c 1:3 q"] {
            write_fails(EINVAL, c"m/g/below/devices.allow", wrong.as_bytes());
        }
        close(open(c"/dev/urandom", O_RDONLY));
        ok(rmdir(p(c"m/g/below")));
        remove(c"m/g");
    }
    fn a_cpuset_without_processors_takes_nobody() {
        with_group(c"cpuset");
        eq(text(c"m/g/cpuset.cpus"), "\n");
        write_fails(ENOSPC, c"m/g/tasks", b"0");
        put(c"m/g/cpuset.mems", b"0");
        put(c"m/g/cpuset.cpus", b"0");
        eq(text(c"m/g/cpuset.cpus"), "0\n");
        inside(|| {
            eq(text(c"/proc/self/cpuset"), "/g\n");
            write_fails(ENOSPC, c"m/g/cpuset.cpus", b"\n");
        });
        put(c"m/g/cgroup.clone_children", b"1");
        ok(mkdir(p(c"m/g/clone"), 0o755));
        eq(text(c"m/g/clone/cpuset.cpus"), "0\n");
        eq(text(c"m/g/clone/cgroup.clone_children"), "1\n");
        write_fails(EBUSY, c"m/g/cpuset.cpus", b"\n");
        write_fails(EINVAL, c"m/g/cpuset.cpus", b"0-x");
        ok(rmdir(p(c"m/g/clone")));
        remove(c"m/g");
    }
    fn limits_of_memory_are_read_back() {
        with_group(c"memory");
        eq(text(c"m/g/memory.limit_in_bytes"), "9223372036854771712\n");
        put(c"m/g/memory.limit_in_bytes", b"64M");
        eq(text(c"m/g/memory.limit_in_bytes"), "67108864\n");
        put(c"m/g/memory.soft_limit_in_bytes", b"1048577");
        eq(text(c"m/g/memory.soft_limit_in_bytes"), "1048576\n");
        yes(text(c"m/g/memory.stat").contains("hierarchical_memory_limit 67108864\n"));
        write_fails(EINVAL, c"m/g/memory.limit_in_bytes", b"much");
        put(c"m/g/memory.limit_in_bytes", b"-1");
        put(c"m/g/memory.swappiness", b"7");
        ok(mkdir(p(c"m/g/below"), 0o755));
        eq(text(c"m/g/below/memory.swappiness"), "7\n");
        inside(|| {
            let size = 8 << 20;
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
            let memory = mmap(null_mut(), size, PROT_READ | PROT_WRITE, flags, -1, 0);
            yes(memory != MAP_FAILED);
            std::ptr::write_bytes(memory.cast::<u8>(), 1, size);
            let used: usize = text(c"m/g/memory.usage_in_bytes").trim().parse().unwrap();
            yes(used >= size);
            write_fails(EBUSY, c"m/g/memory.limit_in_bytes", b"4096");
        });
        ok(rmdir(p(c"m/g/below")));
        remove(c"m/g");
    }
    fn processor_time_stays_with_the_group() {
        with_group(c"cpuacct");
        eq(text(c"m/g/cpuacct.usage"), "0\n");
        inside(|| {
            let began = now_ms();
            while now_ms() < began + 30 {}
        });
        until(|| text(c"m/g/cpuacct.usage").trim().parse::<u64>().unwrap() > 5_000_000);
        yes(text(c"m/g/cpuacct.stat").starts_with("user "));
        put(c"m/g/cpuacct.usage", b"0");
        eq(text(c"m/g/cpuacct.usage"), "0\n");
        write_fails(EINVAL, c"m/g/cpuacct.usage", b"1");
        remove(c"m/g");
    }
    fn shares_and_quotas_are_read_back() {
        with_group(c"cpu");
        eq((text(c"m/g/cpu.shares"), text(c"m/g/cpu.cfs_quota_us")), ("1024\n".into(), "-1\n".into()));
        put(c"m/g/cpu.shares", b"1");
        eq(text(c"m/g/cpu.shares"), "2\n");
        put(c"m/g/cpu.cfs_period_us", b"50000");
        put(c"m/g/cpu.cfs_quota_us", b"25000");
        eq((text(c"m/g/cpu.cfs_period_us"), text(c"m/g/cpu.cfs_quota_us")), ("50000\n".into(), "25000\n".into()));
        write_fails(EINVAL, c"m/g/cpu.cfs_quota_us", b"999");
        write_fails(EINVAL, c"m/g/cpu.cfs_period_us", b"1");
        write_fails(EINVAL, c"m/g/cpu.shares", b"x");
        put(c"m/g/cpu.cfs_quota_us", b"-1");
        remove(c"m/g");
    }
}
