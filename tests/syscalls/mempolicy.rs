//! Memory policies (`set_mempolicy(2)`, `mbind(2)`, `get_mempolicy(2)`) on a machine whose first node is 0.

use tests::prelude::*;

const DEFAULT: u32 = 0;
const PREFERRED: u32 = 1;
const BIND: u32 = 2;
const INTERLEAVE: u32 = 3;
const LOCAL: u32 = 4;
const PREFERRED_MANY: u32 = 5;
const WEIGHTED: u32 = 6;
const STATIC: u32 = 1 << 15;
const RELATIVE: u32 = 1 << 14;
const BALANCING: u32 = 1 << 13;
const F_NODE: i32 = 1;
const F_ADDR: i32 = 2;
const F_MEMS_ALLOWED: i32 = 4;
const STRICT: i32 = 1;
const MOVE_ALL: i32 = 4;
const PAGE: usize = 4096;

unsafe fn set(mode: u32, nodes: u64) -> i32 {
    syscall(SYS_set_mempolicy, mode, &nodes, 64) as i32
}

/// Mode and nodes of the thread, or of what is mapped there.
unsafe fn get_at(addr: usize, flags: i32) -> (u32, u64) {
    let (mut mode, mut nodes) = (77u32, !0u64);
    ok(syscall(SYS_get_mempolicy, &mut mode, &mut nodes, 64, addr, flags) as i32);
    (mode, nodes)
}

unsafe fn mode() -> (u32, u64) {
    get_at(0, 0)
}

unsafe fn bind(addr: usize, len: usize, mode: u32, nodes: u64) -> i32 {
    syscall(SYS_mbind, addr, len, mode, &nodes, 64, 0) as i32
}

unsafe fn map(pages: usize) -> usize {
    let at = mmap(
        null_mut(),
        pages * PAGE,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        -1,
        0,
    );
    yes(at != MAP_FAILED);
    at as usize
}

/// The policy that numa_maps shows for an area.
fn shown(addr: usize) -> Option<String> {
    let text = text(c"/proc/self/numa_maps");
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(&format!("{addr:08x} ")).map(str::to_owned));
    line.map(|l| {
        l.split(" anon=")
            .next()
            .unwrap()
            .split(" dirty=")
            .next()
            .unwrap()
            .to_owned()
    })
}

tests::cases! {
    fn thread_keeps_its_policy() {
        eq(mode(), (DEFAULT, 0));
        for (given, nodes, wanted) in [
            (BIND, 1, (BIND, 1)),
            (INTERLEAVE, 1, (INTERLEAVE, 1)),
            (WEIGHTED, 1, (WEIGHTED, 1)),
            (PREFERRED_MANY, 1, (PREFERRED_MANY, 1)),
            (PREFERRED, 1, (PREFERRED, 1)),
            (PREFERRED, 0, (LOCAL, 0)),
            (LOCAL, 0, (LOCAL, 0)),
            (BIND | STATIC, 3, (BIND | STATIC, 3)),
            (PREFERRED | RELATIVE, 2, (PREFERRED | RELATIVE, 2)),
            (INTERLEAVE | RELATIVE, 0x8000_0000_0000, (INTERLEAVE | RELATIVE, 0x8000_0000_0000)),
            (BIND | BALANCING, 1, (BIND | BALANCING, 1)),
            (PREFERRED_MANY | BALANCING | STATIC, 1, (PREFERRED_MANY | BALANCING | STATIC, 1)),
            (DEFAULT, 0, (DEFAULT, 0)),
            (DEFAULT | STATIC, 0, (DEFAULT, 0)),
        ] {
            eq((given, set(given, nodes)), (given, 0));
            eq((given, mode()), (given, wanted));
        }
    }

    fn nodes_that_are_not_there_are_left_out() {
        ok(set(BIND, 0b101));
        eq(mode(), (BIND, 1));
        fails(EINVAL, set(BIND, 0b100));
        fails(EINVAL, set(BIND | STATIC, 0b100));
        ok(set(BIND | RELATIVE, 0b100));
        eq(mode(), (BIND | RELATIVE, 0b100));
    }

    fn nonsense_is_refused() {
        for (mode, nodes) in [
            (7, 1),
            (-1i32 as u32, 1),
            (BIND | STATIC | RELATIVE, 1),
            (INTERLEAVE | BALANCING, 1),
            (DEFAULT | BALANCING, 0),
            (DEFAULT, 1),
            (LOCAL, 1),
            (LOCAL | STATIC, 0),
            (PREFERRED | STATIC, 0),
            (PREFERRED | RELATIVE, 0),
            (BIND, 0),
            (INTERLEAVE, 0),
            (WEIGHTED, 0),
            (PREFERRED_MANY, 0),
        ] {
            eq((mode, set(mode, nodes), errno()), (mode, -1, EINVAL));
        }
        eq(mode(), (DEFAULT, 0));
    }

    fn masks_are_read_as_far_as_they_say() {
        let call = |mask: *const u64, bits: u64| syscall(SYS_set_mempolicy, BIND, mask, bits) as i32;
        let mut mask = [0u64; 1024];
        mask[0] = 1;
        fails(EINVAL, call(null(), 64));
        fails(EINVAL, call(mask.as_ptr(), 0));
        fails(EINVAL, call(mask.as_ptr(), 1));
        ok(call(mask.as_ptr(), 2));
        ok(call(mask.as_ptr(), 1025));
        ok(call(mask.as_ptr(), 4096 * 8 + 1));
        fails(EINVAL, call(mask.as_ptr(), 4096 * 8 + 2));
        fails(EFAULT, call(8 as *const u64, 64));
        mask[17] = 4;
        fails(EINVAL, call(mask.as_ptr(), 2000));
        ok(call(mask.as_ptr(), 1025));
        ok(syscall(SYS_set_mempolicy, DEFAULT, 8, 1) as i32);
        // A mode that makes no sense comes before a mask that cannot be read.
        fails(EINVAL, syscall(SYS_set_mempolicy, 9, 8, 64) as i32);
        fails(EFAULT, syscall(SYS_set_mempolicy, LOCAL | STATIC, 8, 64) as i32);
    }

    fn answers_go_where_they_are_wanted() {
        ok(set(BIND | STATIC, 1));
        let mut nodes = [!0u64; 4];
        let call = |mode: *mut u32, nodes: *mut u64, bits: u64, addr: usize, flags: i32| {
            syscall(SYS_get_mempolicy, mode, nodes, bits, addr, flags) as i32
        };
        ok(call(null_mut(), null_mut(), 0, 0, 0));
        fails(EINVAL, call(null_mut(), nodes.as_mut_ptr(), 0, 0, 0));
        ok(call(null_mut(), nodes.as_mut_ptr(), 1, 0, 0));
        eq(nodes[0], !0);
        ok(call(null_mut(), nodes.as_mut_ptr(), 130, 0, 0));
        eq(nodes, [1, 0, 0, !0]);
        fails(EINVAL, call(null_mut(), nodes.as_mut_ptr(), 4096 * 8 + 66, 0, 0));
        fails(EFAULT, call(8 as *mut u32, null_mut(), 0, 0, 0));
        fails(EFAULT, call(null_mut(), 8 as *mut u64, 64, 0, 0));
        fails(EINVAL, call(null_mut(), null_mut(), 0, 0, 8));
        fails(EINVAL, call(null_mut(), null_mut(), 0, PAGE, 0));
        fails(EINVAL, call(null_mut(), null_mut(), 0, 0, F_NODE));
        fails(EINVAL, call(null_mut(), null_mut(), 0, 0, F_MEMS_ALLOWED | F_NODE));
        fails(EFAULT, call(null_mut(), null_mut(), 0, 0, F_ADDR));
        eq(get_at(0, F_MEMS_ALLOWED), (0, 1));
    }

    fn next_node_of_an_interleaving_thread() {
        ok(set(INTERLEAVE, 1));
        eq(get_at(0, F_NODE), (0, 1));
        ok(set(WEIGHTED, 1));
        eq(get_at(0, F_NODE), (0, 1));
    }

    fn policy_goes_to_children_threads_and_programs() {
        ok(set(INTERLEAVE | STATIC, 1));
        in_child(|| eq(mode(), (INTERLEAVE | STATIC, 1)));
        std::thread::spawn(|| {
            eq(mode(), (INTERLEAVE | STATIC, 1));
            ok(set(BIND, 1));
        }).join().unwrap();
        eq(mode(), (INTERLEAVE | STATIC, 1));
        let (out, into) = pipe(0);
        let pid = spawn(|| {
            ok(dup2(into, 1));
            let args = [p(c"grep"), p(c"-c"), p(c" interleave=static:0 "), p(c"/proc/self/numa_maps"), null()];
            execv(p(c"/bin/grep"), args.as_ptr());
            99
        });
        wait_exit(pid, 0);
        yes(get_fd(out, 10) != b"0\n");
    }

    fn area_has_a_policy_of_its_own() {
        let at = map(6);
        *(at as *mut u8) = 1;
        ok(set(BIND, 1));
        // Of the area alone, not of the thread.
        eq(get_at(at, F_ADDR), (DEFAULT, 0));
        ok(bind(at + PAGE, 2 * PAGE, INTERLEAVE | STATIC, 3));
        eq(get_at(at, F_ADDR), (DEFAULT, 0));
        eq(get_at(at + PAGE, F_ADDR), (INTERLEAVE | STATIC, 3));
        eq(get_at(at + 3 * PAGE - 1, F_ADDR), (INTERLEAVE | STATIC, 3));
        eq(get_at(at + 3 * PAGE, F_ADDR), (DEFAULT, 0));
        eq(get_at(at, F_ADDR | F_NODE).0, 0);
        in_child(|| eq(get_at(at + PAGE, F_ADDR), (INTERLEAVE | STATIC, 3)));
        ok(mprotect((at + PAGE) as *mut c_void, PAGE, PROT_READ));
        eq(get_at(at + PAGE, F_ADDR), (INTERLEAVE | STATIC, 3));
        let new = map(8);
        let new = mremap((at + PAGE) as *mut c_void, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, new as *mut c_void);
        eq(get_at(new as usize, F_ADDR), (INTERLEAVE | STATIC, 3));
        eq(get_at(new as usize + PAGE, F_ADDR), (INTERLEAVE | STATIC, 3));
        ok(bind(at + 2 * PAGE, PAGE, DEFAULT, 0));
        eq(get_at(at + 2 * PAGE, F_ADDR), (DEFAULT, 0));
    }

    fn numa_maps_show_the_policies() {
        let at = map(8);
        eq(shown(at).as_deref().unwrap_or("default"), "default");
        ok(bind(at + PAGE, PAGE, BIND, 1));
        ok(bind(at + 2 * PAGE, PAGE, PREFERRED | RELATIVE, 4));
        ok(bind(at + 3 * PAGE, PAGE, LOCAL, 0));
        ok(bind(at + 4 * PAGE, PAGE, PREFERRED_MANY, 1));
        ok(bind(at + 5 * PAGE, PAGE, WEIGHTED, 1));
        ok(bind(at + 6 * PAGE, PAGE, INTERLEAVE, 1));
        for (i, wanted) in ["bind:0", "prefer=relative:0", "local", "prefer (many):0", "weighted interleave:0", "interleave:0"]
            .into_iter().enumerate() {
            eq(shown(at + (i + 1) * PAGE).as_deref(), Some(wanted));
        }
        ok(set(BIND | STATIC, 1));
        eq(shown(at + 7 * PAGE).as_deref(), Some("bind=static:0"));
        eq(shown(at + PAGE).as_deref(), Some("bind:0"));
    }

    fn mbind_checks_in_order() {
        let at = map(4);
        let call = |addr: usize, len: usize, mode: u32, nodes: u64, flags: i32| {
            syscall(SYS_mbind, addr, len, mode, &nodes, 64, flags) as i32
        };
        fails(EINVAL, call(at, PAGE, BIND, 1, 8));
        fails(EINVAL, call(at + 1, PAGE, BIND, 1, 0));
        fails(EINVAL, call(at, usize::MAX - PAGE, BIND, 1, 0));
        ok(call(at, 0, BIND, 0, 0));
        ok(call(at, 1, BIND, 1, STRICT));
        eq(get_at(at + 1, F_ADDR), (BIND, 1));
        fails(EINVAL, call(at, PAGE, BIND, 0, 0));
        fails(EINVAL, call(at, PAGE, 9, 1, 8));
        fails(EFAULT, syscall(SYS_mbind, at, PAGE, BIND, 8, 64, 8) as i32);
        ok(munmap((at + PAGE) as *mut c_void, PAGE));
        fails(EFAULT, call(at, 4 * PAGE, BIND, 1, 0));
        fails(EFAULT, call(at + PAGE, 2 * PAGE, BIND, 1, 0));
        fails(EFAULT, call(at + PAGE, PAGE, DEFAULT, 0, 0));
        ok(call(at, 4 * PAGE, DEFAULT, 0, 0));
        eq(get_at(at, F_ADDR), (DEFAULT, 0));
        ok(call(at, PAGE, BIND, 1, MOVE_ALL));
        as_user(65534, 65534, || fails(EPERM, call(at, PAGE, BIND, 1, MOVE_ALL)));
    }

    fn home_node_is_for_what_is_bound() {
        let at = map(4);
        let call = |addr: usize, len: usize, node: u64, flags: u64| {
            syscall(SYS_set_mempolicy_home_node, addr, len, node, flags) as i32
        };
        fails(EINVAL, call(at + 1, PAGE, 0, 0));
        fails(EINVAL, call(at, PAGE, 0, 1));
        fails(EINVAL, call(at, PAGE, 1 << 20, 0));
        fails(EINVAL, call(at, PAGE, 1, 0));
        fails(EINVAL, call(at, usize::MAX - PAGE, 0, 0));
        ok(call(at, 0, 0, 0));
        fails(ENOENT, call(at, PAGE, 0, 0));
        ok(bind(at + PAGE, PAGE, BIND, 1));
        ok(call(at, 3 * PAGE, 0, 0));
        ok(bind(at + 2 * PAGE, PAGE, PREFERRED, 1));
        fails(EOPNOTSUPP, call(at, 4 * PAGE, 0, 0));
        ok(bind(at + 2 * PAGE, PAGE, PREFERRED_MANY, 1));
        ok(call(at + 2 * PAGE, PAGE, 0, 0));
    }
}
