//! inotify.

use tests::prelude::*;

#[derive(Debug, PartialEq, Clone)]
struct Event {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: String,
}

unsafe fn events(fd: i32) -> Vec<Event> {
    let data = get_fd(fd, 4096);
    let mut all = Vec::new();
    let mut at = 0;
    let word = |at: usize| u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
    while at < data.len() {
        let len = word(at + 12) as usize;
        let name = &data[at + 16..at + 16 + len];
        let name = name.split(|b| *b == 0).next().unwrap_or(&[]);
        all.push(Event {
            wd: word(at) as i32,
            mask: word(at + 4),
            cookie: word(at + 8),
            name: String::from_utf8_lossy(name).into_owned(),
        });
        at += 16 + len;
    }
    all
}

unsafe fn watch(path: &CStr, mask: u32) -> (i32, i32) {
    let fd = ok(inotify_init1(IN_NONBLOCK));
    (fd, ok(inotify_add_watch(fd, p(path), mask)))
}

unsafe fn masks(fd: i32) -> Vec<u32> {
    events(fd).iter().map(|e| e.mask).collect()
}

tests::cases! {
    fn no_event_is_eagain() {
        let (fd, _) = watch(c".", IN_ALL_EVENTS);
        fails(EAGAIN, read(fd, [0_u8; 64].as_mut_ptr().cast(), 64));
    }
    fn create_and_delete_in_directory() {
        let (fd, wd) = watch(c".", IN_CREATE | IN_DELETE);
        put(c"f", b"");
        ok(mkdir(p(c"d"), 0o755));
        ok(unlink(p(c"f")));
        let all = events(fd);
        eq(all[0].clone(), Event { wd, mask: IN_CREATE, cookie: 0, name: "f".into() });
        eq((all[1].mask, all[1].name.as_str()), (IN_CREATE | IN_ISDIR, "d"));
        eq(all[2].mask, IN_DELETE);
    }
    fn open_modify_close_order() {
        put(c"f", b"");
        let (fd, _) = watch(c"f", IN_ALL_EVENTS);
        let f = open(c"f", O_RDWR);
        put_fd(f, b"abc");
        ok_eq(lseek(f, 0, SEEK_SET), 0);
        get_fd(f, 3);
        close(f);
        eq(masks(fd), [IN_OPEN, IN_MODIFY, IN_ACCESS, IN_CLOSE_WRITE]);
    }
    fn close_without_writing() {
        put(c"f", b"");
        let (fd, _) = watch(c"f", IN_CLOSE);
        close(open(c"f", O_RDONLY));
        eq(masks(fd), [IN_CLOSE_NOWRITE]);
    }
    fn rename_gives_a_pair_with_one_cookie() {
        put(c"a", b"");
        let (fd, _) = watch(c".", IN_MOVE);
        ok(rename(p(c"a"), p(c"b")));
        let all = events(fd);
        eq((all[0].mask, all[0].name.as_str()), (IN_MOVED_FROM, "a"));
        eq((all[1].mask, all[1].name.as_str()), (IN_MOVED_TO, "b"));
        yes(all[0].cookie != 0 && all[0].cookie == all[1].cookie);
    }
    fn attrib_on_chmod() {
        put(c"f", b"");
        let (fd, _) = watch(c"f", IN_ATTRIB);
        ok(chmod(p(c"f"), 0o600));
        eq(masks(fd), [IN_ATTRIB]);
    }
    fn delete_self_ends_the_watch() {
        put(c"f", b"");
        let (fd, wd) = watch(c"f", IN_DELETE_SELF);
        ok(unlink(p(c"f")));
        eq(masks(fd), [IN_DELETE_SELF, IN_IGNORED]);
        fails(EINVAL, inotify_rm_watch(fd, wd));
    }
    fn move_self_keeps_the_watch() {
        put(c"f", b"");
        let (fd, _) = watch(c"f", IN_MOVE_SELF | IN_ATTRIB);
        ok(rename(p(c"f"), p(c"g")));
        ok(chmod(p(c"g"), 0o600));
        eq(masks(fd), [IN_MOVE_SELF, IN_ATTRIB]);
    }
    fn rm_watch_reports_ignored() {
        let (fd, wd) = watch(c".", IN_CREATE);
        ok(inotify_rm_watch(fd, wd));
        eq(masks(fd), [IN_IGNORED]);
        put(c"f", b"");
        fails(EAGAIN, read(fd, [0_u8; 64].as_mut_ptr().cast(), 64));
    }
    fn same_file_gives_same_wd_and_new_mask() {
        put(c"f", b"");
        ok(link(p(c"f"), p(c"g")));
        let (fd, wd) = watch(c"f", IN_OPEN);
        ok_eq(inotify_add_watch(fd, p(c"g"), IN_ATTRIB), wd);
        close(open(c"f", O_RDONLY));
        ok(chmod(p(c"f"), 0o600));
        eq(masks(fd), [IN_ATTRIB]);
    }
    fn mask_add_adds() {
        put(c"f", b"");
        let (fd, _) = watch(c"f", IN_OPEN);
        ok(inotify_add_watch(fd, p(c"f"), IN_ATTRIB | IN_MASK_ADD));
        close(open(c"f", O_RDONLY));
        ok(chmod(p(c"f"), 0o600));
        eq(masks(fd), [IN_OPEN, IN_ATTRIB]);
    }
    fn oneshot_fires_once() {
        let (fd, _) = watch(c".", IN_CREATE | IN_ONESHOT);
        put(c"f", b"");
        put(c"g", b"");
        eq(masks(fd), [IN_CREATE, IN_IGNORED]);
    }
    fn identical_events_merge() {
        let f = open(c"f", O_RDWR | O_CREAT);
        let (fd, _) = watch(c"f", IN_MODIFY);
        put_fd(f, b"a");
        put_fd(f, b"b");
        eq(masks(fd), [IN_MODIFY]);
    }
    fn buffer_too_small_is_einval() {
        let (fd, _) = watch(c".", IN_CREATE);
        put(c"f", b"");
        fails(EINVAL, read(fd, [0_u8; 16].as_mut_ptr().cast(), 16));
        let mut n = 0;
        ok(ioctl(fd, FIONREAD, &mut n));
        eq(n, 32);
    }
    fn poll_wakes_on_event() {
        let fd = ok(inotify_init1(0));
        ok(inotify_add_watch(fd, p(c"."), IN_CREATE));
        let child = spawn(|| { sleep_ms(50); put(c"f", b""); 0 });
        let mut poll = pollfd { fd, events: POLLIN, revents: 0 };
        ok_eq(libc::poll(&mut poll, 1, 5000), 1);
        wait_exit(child, 0);
        eq(masks(fd), [IN_CREATE]);
    }
    fn errors() {
        let fd = ok(inotify_init1(0));
        fails(ENOENT, inotify_add_watch(fd, p(c"gone"), IN_OPEN));
        fails(EINVAL, inotify_add_watch(fd, p(c"."), 0));
        fails(EINVAL, inotify_add_watch(0, p(c"."), IN_OPEN));
        fails(EBADF, inotify_add_watch(999, p(c"."), IN_OPEN));
        fails(EINVAL, inotify_init1(0x4000_0000));
        put(c"f", b"");
        fails(ENOTDIR, inotify_add_watch(fd, p(c"f"), IN_OPEN | IN_ONLYDIR));
        fails(EINVAL, inotify_rm_watch(fd, 77));
    }
}
