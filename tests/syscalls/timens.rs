//! Time namespaces (`time_namespaces(7)`).

use tests::prelude::*;

const NEWTIME: i32 = 0x80;
const SECOND: i64 = 1_000_000_000;
/// Far more than a slow machine takes for a case, far less than a shift.
const SLACK: i64 = 1000 * SECOND;
const SHIFT: i64 = 1_000_000;
const OFFSETS: &CStr = c"/proc/self/timens_offsets";

unsafe fn library(id: i32) -> i64 {
    let mut t: timespec = zeroed();
    ok(clock_gettime(id, &mut t));
    t.tv_sec * SECOND + t.tv_nsec
}

unsafe fn call(id: i32) -> i64 {
    let mut t: timespec = zeroed();
    ok(syscall(SYS_clock_gettime, id, &mut t));
    t.tv_sec * SECOND + t.tv_nsec
}

fn ts(ns: i64) -> timespec {
    timespec {
        tv_sec: ns / SECOND,
        tv_nsec: ns % SECOND,
    }
}

fn is_near(value: i64, wanted: i64) {
    yes((value - wanted).abs() < SLACK);
}

fn link(path: &str) -> String {
    std::fs::read_link(path)
        .unwrap()
        .into_os_string()
        .into_string()
        .unwrap()
}

/// What a write of offsets gives: bytes, or a negative errno.
unsafe fn set(text: &str) -> i64 {
    let fd = open(OFFSETS, O_WRONLY);
    let n = write(fd, text.as_ptr().cast(), text.len());
    let n = if n < 0 { -i64::from(errno()) } else { n as i64 };
    close(fd);
    n
}

/// The next child is in a new namespace with these offsets in seconds.
unsafe fn shifted(monotonic: i64, boottime: i64) {
    ok(unshare(NEWTIME));
    let text = format!("monotonic {monotonic} 0\nboottime {boottime} 0\n");
    eq(set(&text), text.len() as i64);
}

#[repr(C)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

unsafe fn clone3(flags: u64) -> i32 {
    let mut args: CloneArgs = zeroed();
    args.flags = flags;
    args.exit_signal = SIGCHLD as u64;
    syscall(SYS_clone3, &args, size_of::<CloneArgs>()) as i32
}

unsafe fn drop_capability(number: u32) {
    let header = [0x2008_0522u32, 0];
    let mut sets = [[0u32; 3]; 2];
    ok(syscall(SYS_capget, &header, &mut sets));
    let (word, bit) = ((number / 32) as usize, 1 << (number % 32));
    sets[word][0] &= !bit;
    sets[word][1] &= !bit;
    ok(syscall(SYS_capset, &header, &sets));
}

const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_TIME: u32 = 25;

/// Runs this program's case of that name in a fresh image.
unsafe fn exec_case(name: &str) -> ! {
    let name = std::ffi::CString::new(name).unwrap();
    // Its report is not ours.
    ok(dup2(open(c"/dev/null", O_WRONLY), 1));
    let args = [p(c"self"), p(c"--exact"), name.as_ptr(), null()];
    execv(p(c"/proc/self/exe"), args.as_ptr());
    _exit(99)
}

/// A child that stays until its pipe is closed.
unsafe fn staying() -> (i32, i32) {
    let (ready, told) = pipe(0);
    let (end, hold) = pipe(0);
    let pid = spawn(|| {
        close(hold);
        put_fd(told, b"x");
        get_fd(end, 1);
        0
    });
    close(end);
    get_fd(ready, 1);
    (pid, hold)
}

tests::cases! {
    fn child_is_in_the_new_namespace_and_the_caller_is_not() {
        let before = link("/proc/self/ns/time");
        eq(link("/proc/self/ns/time_for_children"), before.clone());
        ok(unshare(NEWTIME));
        eq(link("/proc/self/ns/time"), before.clone());
        let new = link("/proc/self/ns/time_for_children");
        yes(new != before && new.starts_with("time:["));
        in_child(|| {
            eq(link("/proc/self/ns/time"), new.clone());
            eq(link("/proc/self/ns/time_for_children"), new.clone());
        });
    }

    fn offsets_shift_monotonic_and_boottime_alone() {
        let ids = [CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
            CLOCK_REALTIME, CLOCK_TAI];
        let before = ids.map(|id| call(id));
        shifted(SHIFT, 2 * SHIFT);
        eq(call(CLOCK_MONOTONIC) - before[0] < SLACK, true);
        in_child(|| {
            for (id, before) in ids.into_iter().zip(before) {
                let shift = match id {
                    CLOCK_REALTIME | CLOCK_TAI => 0,
                    CLOCK_BOOTTIME => 2 * SHIFT,
                    _ => SHIFT,
                };
                is_near(call(id), before + shift * SECOND);
                is_near(library(id), before + shift * SECOND);
            }
        });
    }

    fn library_and_call_agree() {
        for id in [CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME] {
            is_near(library(id), call(id));
        }
    }

    fn library_and_call_agree_in_the_namespace_and_its_programs() {
        shifted(SHIFT, SHIFT);
        let begin = call(CLOCK_MONOTONIC);
        in_child(|| {
            is_near(library(CLOCK_MONOTONIC), begin + SHIFT * SECOND);
            in_child(|| is_near(library(CLOCK_MONOTONIC), begin + SHIFT * SECOND));
            wait_exit(spawn(|| exec_case("library_and_call_agree")), 0);
        });
    }

    fn exec_takes_the_caller_into_the_namespace() {
        wait_exit(spawn(|| {
            shifted(SHIFT, 0);
            let begin = call(CLOCK_MONOTONIC) + SHIFT * SECOND;
            put(c"begin", &begin.to_le_bytes());
            put(c"ns", link("/proc/self/ns/time_for_children").as_bytes());
            exec_case("checks_what_its_maker_left")
        }), 0);
        get(c"seen");
    }

    fn checks_what_its_maker_left() {
        let place = format!("/proc/{}/cwd", getppid());
        let Ok(begin) = std::fs::read(format!("{place}/begin")) else {
            skip("only run by another case")
        };
        let begin = i64::from_le_bytes(begin.try_into().unwrap());
        is_near(call(CLOCK_MONOTONIC), begin);
        is_near(library(CLOCK_MONOTONIC), begin);
        eq(link("/proc/self/ns/time").into_bytes(), std::fs::read(format!("{place}/ns")).unwrap());
        std::fs::write(format!("{place}/seen"), "").unwrap();
    }

    fn child_by_vfork_changes_over_when_it_executes() {
        shifted(SHIFT, 0);
        let begin = call(CLOCK_MONOTONIC);
        put(c"begin", &(begin + SHIFT * SECOND).to_le_bytes());
        put(c"ns", link("/proc/self/ns/time_for_children").as_bytes());
        extern "C" fn child(begin: *mut c_void) -> i32 {
            unsafe {
                if call(CLOCK_MONOTONIC) > *begin.cast::<i64>() + SLACK {
                    return 98;
                }
                exec_case("checks_what_its_maker_left")
            }
        }
        let mut stack = vec![0u64; 32 << 10];
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        let pid = ok(clone(child, top, CLONE_VM | CLONE_VFORK | SIGCHLD, (&raw const begin).cast_mut().cast()));
        wait_exit(pid, 0);
        get(c"seen");
        is_near(library(CLOCK_MONOTONIC), begin);
    }

    fn thread_stays_in_its_process_s_namespace() {
        shifted(SHIFT, 0);
        let begin = call(CLOCK_MONOTONIC);
        let seen = std::thread::spawn(|| call(CLOCK_MONOTONIC)).join().unwrap();
        is_near(seen, begin);
    }

    fn nested_namespace_begins_with_the_offsets_of_its_maker_s() {
        shifted(SHIFT, 2 * SHIFT);
        in_child(|| {
            let before = call(CLOCK_MONOTONIC);
            ok(unshare(NEWTIME));
            yes(text(OFFSETS).contains("1000000"));
            in_child(|| is_near(call(CLOCK_MONOTONIC), before));
        });
    }

    fn setns_moves_the_caller_at_once_and_back() {
        let own = open(c"/proc/self/ns/time", O_RDONLY);
        let begin = library(CLOCK_MONOTONIC);
        let (pid, hold) = {
            shifted(SHIFT, 0);
            staying()
        };
        let path = std::ffi::CString::new(format!("/proc/{pid}/ns/time")).unwrap();
        let ns = open(&path, O_RDONLY);
        ok(setns(ns, NEWTIME));
        is_near(library(CLOCK_MONOTONIC), begin + SHIFT * SECOND);
        is_near(call(CLOCK_MONOTONIC), begin + SHIFT * SECOND);
        eq(link("/proc/self/ns/time"), link(path.to_str().unwrap()));
        eq(link("/proc/self/ns/time_for_children"), link(path.to_str().unwrap()));
        ok(setns(own, 0));
        is_near(library(CLOCK_MONOTONIC), begin);
        is_near(call(CLOCK_MONOTONIC), begin);
        close(hold);
        wait_exit(pid, 0);
    }

    fn setns_by_pidfd() {
        let begin = call(CLOCK_MONOTONIC);
        shifted(SHIFT, 0);
        let (pid, hold) = staying();
        let pidfd = ok(syscall(SYS_pidfd_open, pid, 0) as i32);
        ok(setns(pidfd, NEWTIME));
        is_near(call(CLOCK_MONOTONIC), begin + SHIFT * SECOND);
        close(hold);
        wait_exit(pid, 0);
    }

    fn pidfd_gives_the_namespaces() {
        const GET_TIME: u64 = 0xff07;
        const GET_TIME_FOR_CHILDREN: u64 = 0xff08;
        ok(unshare(NEWTIME));
        let pidfd = ok(syscall(SYS_pidfd_open, getpid(), 0) as i32);
        for (request, name) in [(GET_TIME, "time"), (GET_TIME_FOR_CHILDREN, "time_for_children")] {
            let fd = ok(ioctl(pidfd, request, 0));
            eq(link(&format!("/proc/self/fd/{fd}")), link(&format!("/proc/self/ns/{name}")));
        }
    }

    fn setns_is_not_for_processes_with_threads() {
        let ns = open(c"/proc/self/ns/time", O_RDONLY);
        let (end, hold) = pipe(0);
        let thread = std::thread::spawn(move || get_fd(end, 1));
        fails(EUSERS, setns(ns, NEWTIME));
        put_fd(hold, b"x");
        thread.join().unwrap();
        fails(EINVAL, setns(ns, CLONE_NEWUTS));
    }

    fn privilege_is_needed() {
        let ns = open(c"/proc/self/ns/time", O_RDONLY);
        drop_capability(CAP_SYS_ADMIN);
        fails(EPERM, unshare(NEWTIME));
        fails(EPERM, setns(ns, NEWTIME));
        fails(EPERM, clone3(NEWTIME as u64));
    }

    fn clone3_puts_the_child_into_a_new_namespace() {
        let mine = link("/proc/self/ns/time");
        let pid = ok(clone3(NEWTIME as u64));
        if pid == 0 {
            let new = link("/proc/self/ns/time");
            let frozen = set("monotonic 1 0") == -i64::from(EACCES);
            _exit(i32::from(new == mine || !frozen || link("/proc/self/ns/time_for_children") != new));
        }
        wait_exit(pid, 0);
        eq(link("/proc/self/ns/time_for_children"), mine);
        fails(EINVAL, clone3(0x40));
        fails(EINVAL, clone3(NEWTIME as u64 | 1));
    }

    fn offsets_of_a_new_namespace_are_shown() {
        eq(text(OFFSETS), "monotonic           0         0\nboottime            0         0\n".to_owned());
        ok(unshare(NEWTIME));
        eq(set("monotonic 86400 5"), 17);
        eq(set("7 -3 999999999\n"), 15);
        eq(text(OFFSETS), "monotonic       86400         5\nboottime           -3 999999999\n".to_owned());
        let old = open(OFFSETS, O_RDWR);
        put_fd(old, b"1 2 0");
        eq(text(OFFSETS), "monotonic           2         0\nboottime           -3 999999999\n".to_owned());
    }

    fn only_two_lines_are_taken() {
        ok(unshare(NEWTIME));
        eq(set("monotonic 1 0\nboottime 2 0\nnonsense\n"), 27);
        eq(set("monotonic 7 0\n1 8 0\n"), 20);
        yes(text(OFFSETS).starts_with("monotonic           8         0\n"));
    }

    fn nonsense_is_refused() {
        ok(unshare(NEWTIME));
        let invalid = -i64::from(EINVAL);
        for bad in ["realtime 1 0", "0 1 0", "monotonic", "monotonic 1", "monotonic x 0", "monotonic 1 1000000000", "monotonic 1 -1",
            "\n", "boottime 1 0\nx", "monotonicmonotonic 1 0", "MONOTONIC 1 0", "monotonic -  0"] {
            eq((bad, set(bad)), (bad, invalid));
        }
        let long = " ".repeat(4090) + "1 1 0\n";
        eq(set(&long), invalid);
        let fd = open(OFFSETS, O_WRONLY);
        eq(lseek(fd, 1, SEEK_SET), 1);
        fails(EINVAL, write(fd, b"1 1 0".as_ptr().cast(), 5) as i32);
        eq(lseek(fd, 0, SEEK_SET), 0);
        fails(EFAULT, write(fd, 8 as *const c_void, 5) as i32);
        eq(set("  monotonic\t5  0 trailing words"), 31);
        yes(text(OFFSETS).starts_with("monotonic           5         0\n"));
    }

    fn clocks_may_not_leave_their_range() {
        ok(unshare(NEWTIME));
        let range = -i64::from(ERANGE);
        for bad in ["monotonic 9223372036 0", "boottime -9223372037 0", "monotonic 4611686018 0", "monotonic -4000000000 0",
            "boottime 9223372036854775807 0"] {
            eq((bad, set(bad)), (bad, range));
        }
        // One that is bad spoils both.
        eq(set("monotonic 5 0\nboottime -4000000000 0\n"), range);
        yes(text(OFFSETS).starts_with("monotonic           0         0\n"));
        eq(set("boottime 4000000000 0"), 21);
    }

    fn offsets_are_fixed_once_somebody_is_inside() {
        eq(set("monotonic 1 0"), -i64::from(EACCES));
        eq(set("monotonic 4611686018 0"), -i64::from(ERANGE));
        ok(unshare(NEWTIME));
        eq(set("monotonic 1 0"), 13);
        in_child(|| eq(set("monotonic 1 0"), -i64::from(EACCES)));
        eq(set("monotonic 2 0"), -i64::from(EACCES));
    }

    fn setting_needs_the_capability_of_who_opened_the_file() {
        ok(unshare(NEWTIME));
        let early = open(OFFSETS, O_WRONLY);
        drop_capability(CAP_SYS_TIME);
        eq(set("monotonic 4611686018 0"), -i64::from(EPERM));
        eq(set("nonsense"), -i64::from(EINVAL));
        put_fd(early, b"monotonic 5 0");
    }

    fn owner_of_a_user_namespace_has_his_own_time() {
        as_user(65534, 65534, || {
            ok(prctl(PR_SET_DUMPABLE, 1));
            fails(EPERM, unshare(NEWTIME));
            let begin = call(CLOCK_BOOTTIME);
            ok(unshare(CLONE_NEWUSER | NEWTIME));
            eq(set("boottime 1000000 0"), 18);
            in_child(|| is_near(call(CLOCK_BOOTTIME), begin + SHIFT * SECOND));
        });
    }

    fn absolute_sleep_is_on_the_namespace_s_clock() {
        shifted(SHIFT, -5);
        in_child(|| {
            for id in [CLOCK_MONOTONIC, CLOCK_BOOTTIME] {
                let until = call(id) + SECOND / 20;
                eq(clock_nanosleep(id, TIMER_ABSTIME, &ts(until), null_mut()), 0);
                yes(call(id) >= until);
            }
            // Before the namespace began.
            eq(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts(5 * SECOND), null_mut()), 0);
            let mut left: timespec = zeroed();
            eq(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts(SECOND / 100), &mut left), 0);
        });
    }

    fn absolute_timers_are_on_the_namespace_s_clock() {
        shifted(SHIFT, -5);
        in_child(|| {
            let mut event: sigevent = zeroed();
            event.sigev_notify = SIGEV_NONE;
            for id in [CLOCK_MONOTONIC, CLOCK_BOOTTIME] {
                let mut timer: *mut c_void = null_mut();
                ok(timer_create(id, &mut event, &mut timer));
                let spec = itimerspec { it_value: ts(call(id) + 5000 * SECOND), it_interval: ts(0) };
                ok(timer_settime(timer, TIMER_ABSTIME, &spec, null_mut()));
                let mut now: itimerspec = zeroed();
                ok(timer_gettime(timer, &mut now));
                is_near(now.it_value.tv_sec * SECOND, 5000 * SECOND);
                let fd = ok(timerfd_create(id, TFD_NONBLOCK));
                ok(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, null_mut()));
                ok(timerfd_gettime(fd, &mut now));
                is_near(now.it_value.tv_sec * SECOND, 5000 * SECOND);
                let soon = itimerspec { it_value: ts(call(id) + SECOND / 50), it_interval: ts(0) };
                ok(timerfd_settime(fd, TFD_TIMER_ABSTIME, &soon, null_mut()));
                until(|| read(fd, [0u8; 8].as_mut_ptr().cast(), 8) == 8);
                yes(call(id) >= soon.it_value.tv_sec * SECOND + soon.it_value.tv_nsec);
            }
        });
    }

    fn absolute_futex_timeout_is_on_the_namespace_s_clock() {
        const WAIT_BITSET: i32 = 9;
        const REALTIME: i32 = 256;
        shifted(SHIFT, 0);
        in_child(|| {
            let word = 0u32;
            for (id, op) in [(CLOCK_MONOTONIC, WAIT_BITSET), (CLOCK_REALTIME, WAIT_BITSET | REALTIME)] {
                let until = call(id) + SECOND / 20;
                fails(ETIMEDOUT, syscall(SYS_futex, &word, op, 0, &ts(until), null::<u32>(), -1) as i32);
                yes(call(id) >= until);
            }
            let waiter = [0u64, (&raw const word) as u64, 2];
            let until = call(CLOCK_MONOTONIC) + SECOND / 20;
            fails(ETIMEDOUT, syscall(SYS_futex_waitv, &waiter, 1, 0, &ts(until), CLOCK_MONOTONIC) as i32);
            yes(call(CLOCK_MONOTONIC) >= until);
        });
    }

    fn uptime_and_start_times_are_the_namespace_s() {
        let boot = || -> i64 {
            let stat = text(c"/proc/stat");
            let line = stat.lines().find_map(|l| l.strip_prefix("btime ")).unwrap();
            line.parse().unwrap()
        };
        let start = || -> i64 {
            let stat = text(c"/proc/self/stat");
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
        };
        let before = (boot(), start() / 100);
        shifted(0, SHIFT);
        in_child(|| {
            let up = text(c"/proc/uptime");
            let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
            is_near(up as i64 * SECOND, call(CLOCK_BOOTTIME));
            let mut info: sysinfo = zeroed();
            ok(sysinfo(&mut info));
            is_near(info.uptime * SECOND, call(CLOCK_BOOTTIME));
            is_near(boot() * SECOND, (before.0 - SHIFT) * SECOND);
            is_near(start() / 100 * SECOND, (before.1 + SHIFT) * SECOND);
        });
    }

    fn namespace_file_tells_its_kind_and_owner() {
        const NS_GET_USERNS: u64 = 0xb701;
        const NS_GET_NSTYPE: u64 = 0xb703;
        let fd = open(c"/proc/self/ns/time_for_children", O_RDONLY);
        eq(ioctl(fd, NS_GET_NSTYPE), NEWTIME);
        let user = ioctl(fd, NS_GET_USERNS);
        if user < 0 {
            // The initial one's, as seen from inside a sandbox of users.
            eq(errno(), EPERM);
        }
    }
}
