//! Controllers of cgroup v2: which group has which, where processes may be for that, and what holds there.
//!
//! Each case has a cgroup namespace and a mount of its own, so that the group it was started in is the top that it sees.

use std::ffi::CString;

use tests::prelude::*;

/// Mounts the hierarchy on `./m` and makes `./m/two`, and `./m/two/g` with memory and pids; skips where those cannot be given.
unsafe fn with_group() {
    ok(unshare(CLONE_NEWNS | CLONE_NEWCGROUP));
    ok(libc::mount(p(c"none"), p(c"/"), null(), MS_REC | MS_PRIVATE, null()));
    ok(mkdir(p(c"m"), 0o755));
    if libc::mount(p(c"cgroup"), p(c"m"), p(c"cgroup2"), 0, null()) != 0 {
        skip("no cgroup v2");
    }
    // Processes at the top, which are others' too, forbid it but in the host's root.
    let control = libc::open(p(c"m/cgroup.subtree_control"), O_WRONLY);
    if write(control, b"+memory +pids".as_ptr().cast(), 13) != 13 {
        skip("no controllers of cgroup v2 for groups below");
    }
    // One that failed before may have left them.
    for old in [c"m/two/g/below", c"m/two/g", c"m/two"] {
        rmdir(p(old));
    }
    ok(mkdir(p(c"m/two"), 0o755));
    put(c"m/two/cgroup.subtree_control", b"+memory +pids");
    ok(mkdir(p(c"m/two/g"), 0o755));
}

/// Runs `body` in a process that is in `./m/two/g`, and waits for its end.
unsafe fn inside(body: impl FnOnce()) {
    in_child(|| {
        put(c"m/two/g/cgroup.procs", b"0");
        body();
    });
}

unsafe fn write_fails(error: i32, path: &CStr, data: &[u8]) {
    let fd = open(path, O_WRONLY);
    fails(error, write(fd, data.as_ptr().cast(), data.len()));
    close(fd);
}

unsafe fn remove(path: &CStr) {
    until(|| rmdir(p(path)) == 0);
}

fn there(file: &str) -> bool {
    let path = CString::new(format!("m/two/g/{file}")).unwrap();
    unsafe { access(p(&path), F_OK) == 0 }
}

tests::cases! {
    fn controllers_are_given_from_above() {
        with_group();
        eq(text(c"m/two/g/cgroup.controllers"), "memory pids\n");
        eq(text(c"m/two/g/memory.max"), "max\n");
        put(c"m/two/g/memory.max", b"8M\n");
        eq(text(c"m/two/g/memory.max"), "8388608\n");
        write_fails(EINVAL, c"m/two/g/memory.max", b"-1");
        write_fails(ENOENT, c"m/two/g/cgroup.subtree_control", b"+cpu");
        write_fails(EINVAL, c"m/two/g/cgroup.subtree_control", b"+nonsense");
        yes(there("cpu.stat") && !there("cpu.max"));
        put(c"m/two/g/cgroup.subtree_control", b"+memory");
        write_fails(EBUSY, c"m/two/cgroup.subtree_control", b"-memory");
        put(c"m/two/g/cgroup.subtree_control", b"-memory");
        let old = open(c"m/two/g/memory.max", O_RDONLY);
        put(c"m/two/cgroup.subtree_control", b"-memory");
        let mut byte = [0_u8; 1];
        fails(ENODEV, read(old, byte.as_mut_ptr().cast(), 1));
        yes(!there("memory.max"));
        fails(ENOENT, libc::open(p(c"m/two/g/memory.max"), O_RDONLY));
        put(c"m/two/cgroup.subtree_control", b"+memory");
        eq(text(c"m/two/g/memory.max"), "max\n");
        remove(c"m/two/g");
        ok(rmdir(p(c"m/two")));
    }
    fn processes_and_groups_do_not_share_memory() {
        with_group();
        inside(|| write_fails(EBUSY, c"m/two/g/cgroup.subtree_control", b"+memory"));
        put(c"m/two/g/cgroup.subtree_control", b"+memory");
        in_child(|| write_fails(EBUSY, c"m/two/g/cgroup.procs", b"0"));
        put(c"m/two/g/cgroup.subtree_control", b"-memory");
        inside(|| {});
        remove(c"m/two/g");
        ok(rmdir(p(c"m/two")));
    }
    fn what_threads_can_share_makes_groups_of_threads() {
        with_group();
        ok(mkdir(p(c"m/two/g/below"), 0o755));
        inside(|| {
            eq(text(c"m/two/g/cgroup.type"), "domain\n");
            put(c"m/two/g/cgroup.subtree_control", b"+pids");
            eq(text(c"m/two/g/cgroup.type"), "domain threaded\n");
            eq(text(c"m/two/g/below/cgroup.type"), "domain invalid\n");
            write_fails(EOPNOTSUPP, c"m/two/g/below/cgroup.procs", b"0");
            write_fails(EOPNOTSUPP, c"m/two/g/cgroup.subtree_control", b"+memory");
        });
        until(|| text(c"m/two/g/cgroup.type") == "domain\n");
        eq(text(c"m/two/g/below/cgroup.type"), "domain\n");
        remove(c"m/two/g/below");
        remove(c"m/two/g");
        ok(rmdir(p(c"m/two")));
    }
    fn the_number_of_tasks_is_limited() {
        with_group();
        inside(|| {
            put(c"m/two/g/pids.max", b"2");
            in_child(|| {
                eq(text(c"m/two/g/pids.current"), "2\n");
                fails(EAGAIN, fork());
            });
            eq(text(c"m/two/g/pids.events"), "max 1\n");
            put(c"m/two/g/pids.max", b"max");
            in_child(|| {});
        });
        remove(c"m/two/g");
        ok(rmdir(p(c"m/two")));
    }
}
