//! What /proc tells.

use tests::prelude::*;

fn read_file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn link(path: &str) -> String {
    std::fs::read_link(path)
        .unwrap_or_else(|e| panic!("{path}: {e}"))
        .to_str()
        .unwrap()
        .to_string()
}

/// The value of a `Name:` line.
fn field(text: &str, name: &str) -> String {
    let line = text
        .lines()
        .find(|l| l.starts_with(&format!("{name}:")))
        .unwrap_or_else(|| panic!("no {name}"));
    line[name.len() + 1..].trim().to_string()
}

/// Fields of /proc/PID/stat from the state on.
fn stat_fields(path: &str) -> Vec<String> {
    read_file(path)
        .rsplit_once(") ")
        .unwrap()
        .1
        .split_whitespace()
        .map(str::to_string)
        .collect()
}

fn number(text: &str) -> i64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

unsafe fn sleeper() -> i32 {
    let pid = spawn(|| {
        loop {
            pause();
        }
    });
    until_asleep(pid);
    pid
}

unsafe fn end(pid: i32) {
    ok(kill(pid, SIGKILL));
    wait(pid);
}

const MAP_NOHUGE: i32 = 15;

unsafe fn status_kb(name: &str) -> u64 {
    let status = text(c"/proc/self/status");
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line[name.len()..].trim().trim_end_matches(" kB").parse().unwrap()
}

tests::cases! {
    fn self_is_this_process() {
        eq(link("/proc/self"), getpid().to_string());
        eq(link("/proc/thread-self"), format!("{}/task/{}", getpid(), gettid()));
    }
    fn stat_has_52_fields() {
        let f = stat_fields("/proc/self/stat");
        eq(f.len(), 50);
        eq((f[0].as_str(), number(&f[1]), number(&f[2]), number(&f[3])),
           ("R", i64::from(getppid()), i64::from(getpgrp()), i64::from(getsid(0))));
        eq(number(&f[17]), 1);
        yes(number(&f[20]) > 1_000_000);
        yes(read_file("/proc/self/stat").starts_with(&format!("{} (sys_proc) ", getpid())));
    }
    fn stat_shows_sleep_and_zombie() {
        let pid = sleeper();
        eq(state_of(pid), 'S');
        ok(kill(pid, SIGKILL));
        until(|| state_of(pid) == 'Z');
        wait(pid);
        eq(state_of(pid), '?');
    }
    fn stat_counts_threads_and_start_time() {
        let other = std::thread::spawn(|| sleep_ms(200));
        until(|| number(&stat_fields("/proc/self/stat")[17]) == 2);
        other.join().unwrap();
        let mut now: timespec = zeroed();
        ok(clock_gettime(CLOCK_BOOTTIME, &mut now));
        let started = number(&stat_fields("/proc/self/stat")[19]);
        yes((now.tv_sec - started / 100).abs() <= 3);
    }
    fn statm_is_pages() {
        let f: Vec<i64> = read_file("/proc/self/statm").split_whitespace().map(|n| n.parse().unwrap()).collect();
        eq(f.len(), 7);
        yes(f[0] > f[1] && f[1] > 0);
    }
    fn status_fields() {
        let s = read_file("/proc/self/status");
        eq(field(&s, "Name"), "sys_proc");
        eq(field(&s, "State"), "R (running)");
        eq(field(&s, "Tgid"), getpid().to_string());
        eq(field(&s, "Pid"), getpid().to_string());
        eq(field(&s, "PPid"), getppid().to_string());
        eq(field(&s, "TracerPid"), "0");
        eq(field(&s, "Threads"), "1");
        eq(field(&s, "Umask"), "0022");
        eq(field(&s, "NoNewPrivs"), "0");
        yes(field(&s, "VmSize").ends_with(" kB") && number(&field(&s, "VmRSS")) > 100);
        field(&s, "Cpus_allowed_list");
        field(&s, "voluntary_ctxt_switches");
    }
    fn cmdline_and_environ() {
        let raw = std::fs::read("/proc/self/cmdline").unwrap();
        yes(raw.ends_with(b"\0"));
        let args: Vec<String> = std::env::args().collect();
        eq(raw.split(|b| *b == 0).count() - 1, args.len());
        let raw = std::fs::read("/proc/self/environ").unwrap();
        for (name, _) in std::env::vars() {
            let start = format!("{name}=");
            yes(raw.split(|b| *b == 0).any(|v| v.starts_with(start.as_bytes())));
        }
    }
    fn comm_can_be_written() {
        let fd = open(c"/proc/self/comm", O_WRONLY);
        put_fd(fd, b"other-name");
        eq(text(c"/proc/self/comm"), "other-name\n");
        eq(field(&read_file("/proc/self/status"), "Name"), "other-name");
    }
    fn links_follow_the_process() {
        eq(link("/proc/self/cwd"), std::env::current_dir().unwrap().to_str().unwrap());
        eq(link("/proc/self/root"), "/");
        yes(link("/proc/self/exe").ends_with("sys_proc"));
        ok(chdir(p(c"/")));
        eq(link("/proc/self/cwd"), "/");
    }
    fn removed_cwd_is_marked() {
        ok(mkdir(p(c"d"), 0o755));
        ok(chdir(p(c"d")));
        ok(rmdir(p(c"../d")));
        yes(link("/proc/self/cwd").ends_with("/d (deleted)"));
    }
    fn exe_can_be_opened_and_read() {
        eq(get_fd(open(c"/proc/self/exe", O_RDONLY), 4), b"\x7fELF");
        fails(ETXTBSY, try_open(c"/proc/self/exe", O_WRONLY));
    }
    fn fd_links_name_their_kind() {
        put(c"f", b"");
        let name = |fd: i32| link(&format!("/proc/self/fd/{fd}"));
        yes(name(open(c"f", O_RDONLY)).ends_with("/f"));
        yes(name(ok(socket(AF_UNIX, SOCK_STREAM, 0))).starts_with("socket:["));
        yes(name(pipe(0).0).starts_with("pipe:["));
        eq(name(ok(eventfd(0, 0))), "anon_inode:[eventfd]");
        eq(name(ok(epoll_create1(0))), "anon_inode:[eventpoll]");
        let fd = open(c"f", O_RDONLY);
        ok(unlink(p(c"f")));
        yes(name(fd).ends_with("/f (deleted)"));
    }
    fn fd_directory_changes_with_the_table() {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = count();
        let fd = open(c".", O_RDONLY);
        eq(count(), before + 1);
        close(fd);
        eq(count(), before);
    }
    fn fd_link_modes_show_access() {
        put(c"f", b"");
        let mode = |fd: i32| stat(&std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap()).st_mode & 0o777;
        eq(mode(open(c"f", O_RDONLY)), 0o500);
        eq(mode(open(c"f", O_WRONLY)), 0o300);
        eq(mode(open(c"f", O_RDWR)), 0o700);
    }
    fn limits_table() {
        ok(setrlimit(RLIMIT_NOFILE, &rlimit { rlim_cur: 123, rlim_max: 456 }));
        let all = read_file("/proc/self/limits");
        let line = all.lines().find(|l| l.starts_with("Max open files")).unwrap();
        eq(line.split_whitespace().collect::<Vec<_>>(), ["Max", "open", "files", "123", "456", "files"]);
        yes(all.starts_with("Limit                     Soft Limit           Hard Limit           Units     \n"));
        eq(all.lines().count(), 17);
    }
    fn mountinfo_and_mounts() {
        let info = read_file("/proc/self/mountinfo");
        for line in info.lines() {
            let f: Vec<&str> = line.split(' ').collect();
            let dash = f.iter().position(|w| *w == "-").unwrap();
            assert!(dash >= 6 && f.len() == dash + 4, "{line}");
            f[0].parse::<u32>().unwrap();
            assert!(f[2].contains(':') && f[4].starts_with('/'));
        }
        yes(info.lines().any(|l| l.contains(" - proc ")));
        let mounts = read_file("/proc/self/mounts");
        eq(mounts.lines().count(), info.lines().count());
        yes(mounts.lines().all(|l| l.split(' ').count() == 6));
    }
    fn task_directory_lists_threads() {
        let thread = std::thread::spawn(|| { let tid = gettid(); sleep_ms(300); tid });
        until(|| std::fs::read_dir("/proc/self/task").unwrap().count() == 2);
        for entry in std::fs::read_dir("/proc/self/task").unwrap() {
            let tid = entry.unwrap().file_name().into_string().unwrap();
            let s = read_file(&format!("/proc/self/task/{tid}/status"));
            eq((field(&s, "Pid"), field(&s, "Tgid")), (tid, getpid().to_string()));
        }
        thread.join().unwrap();
    }
    fn children_file_lists_children() {
        let pid = sleeper();
        let path = format!("/proc/self/task/{}/children", gettid());
        if let Ok(text) = std::fs::read_to_string(path) {
            eq(text, format!("{pid} "));
        }
        end(pid);
    }
    fn process_directory_comes_and_goes() {
        let pid = sleeper();
        let has = || std::fs::read_dir("/proc").unwrap().any(|e| e.unwrap().file_name().to_str() == Some(&pid.to_string()));
        yes(has());
        end(pid);
        yes(!has());
        fails(ENOENT, libc::open(format!("/proc/{pid}/stat\0").as_ptr().cast(), O_RDONLY));
    }
    fn open_file_of_a_dead_process_is_esrch() {
        let pid = sleeper();
        let fd = ok(libc::open(format!("/proc/{pid}/status\0").as_ptr().cast(), O_RDONLY));
        end(pid);
        fails(ESRCH, read(fd, [0_u8; 8].as_mut_ptr().cast(), 8));
    }
    fn owner_is_the_effective_user() {
        in_child(|| {
            ok(setresgid(77, 77, 77));
            ok(setresuid(78, 78, 78));
            ok(prctl(PR_SET_DUMPABLE, 1));
            let st = stat(&std::ffi::CString::new(format!("/proc/{}", getpid())).unwrap());
            eq((st.st_uid, st.st_gid), (78, 77));
        });
    }
    fn strangers_may_not_look_inside() {
        let pid = sleeper();
        as_user(1000, 1000, || {
            let path = |name: &str| format!("/proc/{pid}/{name}\0");
            fails(EACCES, libc::open(path("environ").as_ptr().cast(), O_RDONLY));
            fails(EACCES, readlink(path("cwd").as_ptr().cast(), [0; 9].as_mut_ptr(), 9));
            fails(EACCES, libc::open(path("fd").as_ptr().cast(), O_RDONLY));
            close(ok(libc::open(path("status").as_ptr().cast(), O_RDONLY)));
        });
        end(pid);
    }
    fn mem_reads_and_writes_own_memory() {
        let mut word = 0x1234_u32;
        let at = std::hint::black_box(&raw mut word);
        let fd = open(c"/proc/self/mem", O_RDWR);
        let mut got = 0_u32;
        ok_eq(pread(fd, (&raw mut got).cast(), 4, at as i64), 4);
        eq(got, 0x1234);
        let new = 0x5678_u32;
        ok_eq(pwrite(fd, (&raw const new).cast(), 4, at as i64), 4);
        eq(at.read_volatile(), 0x5678);
        fails(EIO, pread(fd, (&raw mut got).cast(), 4, 8));
    }
    fn smaps_and_auxv() {
        yes(read_file("/proc/self/smaps").contains("Rss:"));
        let auxv = std::fs::read("/proc/self/auxv").unwrap();
        let word = |n: usize| u64::from_ne_bytes(auxv[8 * n..8 * n + 8].try_into().unwrap());
        yes((0..auxv.len() / 16).any(|n| word(2 * n) == AT_PAGESZ && word(2 * n + 1) == 4096));
    }
    fn oom_score_adj_is_kept() {
        let fd = open(c"/proc/self/oom_score_adj", O_RDWR);
        put_fd(fd, b"500");
        eq(text(c"/proc/self/oom_score_adj"), "500\n");
        in_child(|| eq(text(c"/proc/self/oom_score_adj"), "500\n"));
        fails(EINVAL, write(fd, c"5000".as_ptr().cast(), 4));
    }
    fn meminfo_adds_up() {
        let m = read_file("/proc/meminfo");
        let kb = |name: &str| number(&field(&m, name));
        yes(kb("MemTotal") >= kb("MemFree") && kb("MemFree") > 0);
        yes(kb("MemAvailable") > 0 && kb("SwapTotal") >= kb("SwapFree"));
    }
    fn cpuinfo_and_stat_agree_on_processors() {
        let cpus = read_file("/proc/cpuinfo").lines().filter(|l| l.starts_with("processor")).count();
        let stat = read_file("/proc/stat");
        eq(stat.lines().filter(|l| l.starts_with("cpu") && !l.starts_with("cpu ")).count(), cpus);
        yes(stat.contains("\nbtime ") && stat.contains("\nprocesses "));
        eq(sysconf(_SC_NPROCESSORS_ONLN), cpus as i64);
    }
    fn uptime_and_loadavg() {
        let up: f64 = read_file("/proc/uptime").split(' ').next().unwrap().parse().unwrap();
        let mut now: timespec = zeroed();
        ok(clock_gettime(CLOCK_BOOTTIME, &mut now));
        yes((up - now.tv_sec as f64).abs() < 2.0);
        eq(read_file("/proc/loadavg").split_whitespace().count(), 5);
    }
    fn sys_kernel_files() {
        let mut u: utsname = zeroed();
        ok(uname(&mut u));
        let host = CStr::from_ptr(u.nodename.as_ptr()).to_str().unwrap();
        eq(read_file("/proc/sys/kernel/hostname").trim(), host);
        let release = CStr::from_ptr(u.release.as_ptr()).to_str().unwrap();
        eq(read_file("/proc/sys/kernel/osrelease").trim(), release);
        eq(read_file("/proc/sys/kernel/ostype"), "Linux\n");
        yes(number(&read_file("/proc/sys/kernel/pid_max")) >= 32768);
        number(&read_file("/proc/sys/kernel/threads-max"));
        number(&read_file("/proc/sys/vm/overcommit_memory"));
        number(&read_file("/proc/sys/fs/file-max"));
        eq(read_file("/proc/sys/kernel/random/uuid").trim().len(), 36);
        yes(read_file("/proc/sys/kernel/random/uuid") != read_file("/proc/sys/kernel/random/uuid"));
    }
    fn filesystems_version_and_cmdline() {
        let fs = read_file("/proc/filesystems");
        yes(fs.contains("nodev\tproc\n") && fs.contains("nodev\ttmpfs\n"));
        yes(read_file("/proc/version").starts_with("Linux version "));
        read_file("/proc/cmdline");
    }
    fn proc_is_not_writable_ground() {
        fails(ENOENT, libc::open(p(c"/proc/newfile"), O_CREAT | O_RDWR, 0o644));
        yes(mkdir(p(c"/proc/newdir"), 0o755) == -1);
        yes(unlink(p(c"/proc/self/stat")) == -1);
        fails(ENOENT, try_open(c"/proc/self/nosuch", O_RDONLY));
        fails(ENOENT, try_open(c"/proc/0", O_RDONLY));
    }
    fn reads_in_pieces_join() {
        let whole = get(c"/proc/self/mountinfo");
        let fd = open(c"/proc/self/mountinfo", O_RDONLY);
        let mut all = Vec::new();
        loop {
            let part = get_fd(fd, 7);
            if part.is_empty() { break; }
            all.extend(part);
        }
        yes(all == whole);
    }
    fn namespaces_have_names() {
        for name in ["mnt", "pid", "net", "ipc", "uts", "user"] {
            yes(link(&format!("/proc/self/ns/{name}")).starts_with(&format!("{name}:[")));
        }
    }
    fn net_files_list_sockets() {
        let fd = ok(socket(AF_UNIX, SOCK_STREAM, 0));
        let mut a: sockaddr_un = zeroed();
        a.sun_family = AF_UNIX as u16;
        a.sun_path[0] = b'q' as c_char;
        ok(bind(fd, (&raw const a).cast(), 4));
        yes(read_file("/proc/net/unix").lines().any(|l| l.ends_with(" q")));
        read_file("/proc/net/tcp");
        read_file("/proc/net/dev");
    }
    fn wchan_syscall_and_sched_files_exist() {
        for name in ["wchan", "sched", "schedstat", "cgroup", "mountstats", "personality", "loginuid", "uid_map"] {
            let path = format!("/proc/self/{name}");
            std::fs::metadata(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        }
    }
    fn io_counts_reads_and_writes() {
        let number = |name: &str| -> u64 {
            let text = text(c"/proc/self/io");
            let line = text.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
            line[name.len() + 2..].parse().unwrap()
        };
        let (bytes, calls) = (number("wchar"), number("syscw"));
        put(c"f", &[1; 1000]);
        yes(number("wchar") >= bytes + 1000);
        yes(number("syscw") > calls);
        let bytes = number("rchar");
        get(c"f");
        yes(number("rchar") >= bytes + 1000);
    }
    fn syscall_shows_what_a_process_waits_in() {
        let pid = spawn(|| {
            loop {
                pause();
            }
        });
        let path = std::ffi::CString::new(format!("/proc/{pid}/syscall")).unwrap();
        let wanted = format!("{SYS_pause} 0x");
        let mut tries = 0;
        while !text(&path).starts_with(&wanted) {
            tries += 1;
            yes(tries < 2000);
            sleep_ms(1);
        }
        eq(text(&path).split_whitespace().count(), 9);
    }
    fn stack_is_shown_as_far_as_it_is_used() {
        let maps = text(c"/proc/self/maps");
        let line = maps.lines().find(|l| l.ends_with("[stack]")).unwrap();
        let ends: Vec<u64> = line[..line.find(' ').unwrap()]
            .split('-')
            .map(|n| u64::from_str_radix(n, 16).unwrap())
            .collect();
        let here = &raw const maps as u64;
        yes(ends[0] <= here && here < ends[1]);
        yes(ends[1] - ends[0] < 4 << 20);
    }
    fn status_counts_the_stack_that_is_used() {
        fn deep(n: usize) -> u64 {
            let space = [n as u8; 1 << 14];
            if n == 0 {
                // SAFETY: reads a file.
                return unsafe { status_kb("VmStk:") };
            }
            deep(n - 1) + u64::from(std::hint::black_box(&space)[5] / 255)
        }
        let before = status_kb("VmStk:");
        yes((100..2048).contains(&before));
        // Three megabytes of it.
        let deeper = deep(192);
        yes(deeper >= before + 2500 && deeper < 5000);
        yes(status_kb("VmSize:") < 64 << 10);
    }
    fn smaps_counts_an_areas_own_pages() {
        let at = ok(mmap(null_mut(), 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        ok(madvise(at, 64 * 4096, MAP_NOHUGE));
        for i in 0..3 {
            at.cast::<u8>().add(i * 2 * 4096).write_volatile(1);
        }
        let smaps = text(c"/proc/self/smaps");
        let head = format!("{:x}-", at as u64);
        // The area may have been joined with a neighbour below: then nothing is known of it alone.
        if let Some(from) = smaps.find(&head) {
            let rest = &smaps[from..];
            let rss = rest.lines().find(|l| l.starts_with("Rss:")).unwrap();
            let kib: u64 = rss.split_whitespace().nth(1).unwrap().parse().unwrap();
            yes((12..64).contains(&kib));
        }
    }
    fn rusage_counts_faults_and_system_time() {
        let mut before: rusage = zeroed();
        ok(getrusage(RUSAGE_SELF, &mut before));
        let at = ok(mmap(null_mut(), 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        ok(madvise(at, 64 * 4096, MAP_NOHUGE));
        for i in 0..64 {
            at.cast::<u8>().add(i * 4096).write_volatile(1);
        }
        let mut after: rusage = zeroed();
        let mut calls = 0_u64;
        loop {
            for _ in 0..1000 {
                getppid();
            }
            calls += 1;
            ok(getrusage(RUSAGE_SELF, &mut after));
            let time = |r: &rusage| r.ru_stime.tv_sec * 1_000_000 + r.ru_stime.tv_usec;
            if time(&after) > time(&before) || calls > 5000 {
                break;
            }
        }
        yes(calls <= 5000);
        yes(after.ru_minflt >= before.ru_minflt + 64);
    }
}
