//! Directories: reading, the working directory, chroot.

use tests::prelude::*;

/// (name, type, ino) of one getdents64 call after another with a small buffer.
unsafe fn entries(fd: i32, buffer: usize) -> Vec<(String, u8, u64)> {
    let mut all = Vec::new();
    let mut buf = vec![0_u8; buffer];
    loop {
        let got = ok(syscall(SYS_getdents64, fd, buf.as_mut_ptr(), buffer)) as usize;
        if got == 0 {
            return all;
        }
        let mut at = 0;
        while at < got {
            let ino = u64::from_ne_bytes(buf[at..at + 8].try_into().unwrap());
            let len = u16::from_ne_bytes(buf[at + 16..at + 18].try_into().unwrap()) as usize;
            let name = CStr::from_bytes_until_nul(&buf[at + 19..at + len]).unwrap();
            all.push((name.to_string_lossy().into_owned(), buf[at + 18], ino));
            at += len;
        }
    }
}

fn cwd() -> String {
    std::env::current_dir().unwrap().to_str().unwrap().to_string()
}

tests::cases! {
    fn getdents_lists_names_types_and_inodes() {
        put(c"f", b"");
        ok(mkdir(p(c"d"), 0o755));
        ok(symlink(p(c"x"), p(c"l")));
        ok(mkfifo(p(c"q"), 0o600));
        let mut all = entries(open(c".", O_RDONLY), 4096);
        all.sort();
        let names: Vec<_> = all.iter().map(|e| (e.0.as_str(), e.1)).collect();
        eq(names, vec![(".", DT_DIR), ("..", DT_DIR), ("d", DT_DIR), ("f", DT_REG), ("l", DT_LNK), ("q", DT_FIFO)]);
        eq(all[3].2, stat(c"f").st_ino);
        eq(all[0].2, stat(c".").st_ino);
    }
    fn getdents_in_small_pieces_sees_each_name_once() {
        for n in 0..100 {
            put(&std::ffi::CString::new(format!("file{n}")).unwrap(), b"");
        }
        let mut names: Vec<_> = entries(open(c".", O_RDONLY), 64).into_iter().map(|e| e.0).collect();
        eq(names.len(), 102);
        names.sort();
        names.dedup();
        eq(names.len(), 102);
    }
    fn getdents_too_small_is_einval() {
        fails(EINVAL, syscall(SYS_getdents64, open(c".", O_RDONLY), [0_u8; 8].as_mut_ptr(), 8));
    }
    fn getdents_on_file_is_enotdir() {
        put(c"f", b"");
        fails(ENOTDIR, syscall(SYS_getdents64, open(c"f", O_RDONLY), [0_u8; 64].as_mut_ptr(), 64));
    }
    fn getdents_of_removed_directory_is_enoent() {
        ok(mkdir(p(c"d"), 0o755));
        let fd = open(c"d", O_RDONLY);
        ok(rmdir(p(c"d")));
        fails(ENOENT, syscall(SYS_getdents64, fd, [0_u8; 64].as_mut_ptr(), 64));
    }
    fn seek_to_start_lists_again() {
        put(c"f", b"");
        let fd = open(c".", O_RDONLY);
        eq(entries(fd, 4096).len(), 3);
        put(c"g", b"");
        ok_eq(lseek(fd, 0, SEEK_SET), 0);
        eq(entries(fd, 4096).len(), 4);
    }
    fn removing_while_listing_empties_the_directory() {
        for n in 0..300 {
            put(&std::ffi::CString::new(format!("file{n}")).unwrap(), b"");
        }
        for entry in std::fs::read_dir(".").unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        eq(std::fs::read_dir(".").unwrap().count(), 0);
    }
    fn chdir_and_getcwd_agree() {
        let top = cwd();
        ok(mkdir(p(c"d"), 0o755));
        ok(chdir(p(c"d")));
        eq(cwd(), format!("{top}/d"));
        ok(chdir(p(c"..")));
        eq(cwd(), top);
    }
    fn chdir_through_link_shows_the_target() {
        let top = cwd();
        ok(mkdir(p(c"d"), 0o755));
        ok(symlink(p(c"d"), p(c"l")));
        ok(chdir(p(c"l")));
        eq(cwd(), format!("{top}/d"));
    }
    fn getcwd_follows_a_rename() {
        let top = cwd();
        ok(mkdir(p(c"d"), 0o755));
        ok(chdir(p(c"d")));
        ok(rename(p(c"../d"), p(c"../e")));
        eq(cwd(), format!("{top}/e"));
    }
    fn getcwd_of_removed_directory_is_enoent() {
        ok(mkdir(p(c"d"), 0o755));
        ok(chdir(p(c"d")));
        ok(rmdir(p(c"../d")));
        fails(ENOENT, syscall(SYS_getcwd, [0_u8; 256].as_mut_ptr(), 256));
        fails(ENOENT, try_open(c"f", O_CREAT | O_RDWR));
        close(open(c".", O_RDONLY));
    }
    fn getcwd_sizes() {
        let len = cwd().len() as i64;
        let mut b = [0_u8; 256];
        fails(ERANGE, syscall(SYS_getcwd, b.as_mut_ptr(), len));
        ok_eq(syscall(SYS_getcwd, b.as_mut_ptr(), len + 1), len + 1);
    }
    fn chdir_errors() {
        put(c"f", b"");
        fails(ENOTDIR, chdir(p(c"f")));
        fails(ENOENT, chdir(p(c"gone")));
        fails(ENOTDIR, fchdir(open(c"f", O_RDONLY)));
        fails(EBADF, fchdir(999));
    }
    fn fchdir_goes_back() {
        let fd = open(c".", O_RDONLY);
        let top = cwd();
        ok(chdir(p(c"/")));
        ok(fchdir(fd));
        eq(cwd(), top);
    }
    fn cwd_is_per_process_but_shared_by_threads() {
        let top = cwd();
        in_child(|| {
            ok(chdir(p(c"/")));
        });
        eq(cwd(), top);
        std::thread::spawn(|| ok(chdir(p(c"/")))).join().unwrap();
        eq(cwd(), "/");
    }
    fn chroot_confines_paths() {
        ok(mkdir(p(c"r"), 0o755));
        put(c"r/f", b"inside");
        ok(chroot(p(c"r")));
        ok(chdir(p(c"/")));
        eq(get(c"/f"), b"inside");
        eq(get(c"/../../f"), b"inside");
        eq(cwd(), "/");
        fails(ENOENT, access(p(c"/proc"), F_OK));
    }
    fn cwd_outside_chroot_is_unreachable() {
        ok(mkdir(p(c"r"), 0o755));
        ok(chroot(p(c"r")));
        let mut b = [0_u8; 256];
        ok(syscall(SYS_getcwd, b.as_mut_ptr(), 256));
        yes(b.starts_with(b"(unreachable)"));
    }
    fn absolute_links_start_at_the_chroot() {
        ok(mkdir(p(c"r"), 0o755));
        put(c"r/f", b"inside");
        ok(symlink(p(c"/f"), p(c"r/l")));
        ok(chroot(p(c"r")));
        eq(get(c"/l"), b"inside");
    }
    fn directory_times_change_with_its_entries() {
        ok(mkdir(p(c"d"), 0o755));
        let before = stat(c"d");
        sleep_ms(20);
        put(c"d/f", b"");
        let after = stat(c"d");
        yes((after.st_mtime, after.st_mtime_nsec) > (before.st_mtime, before.st_mtime_nsec));
    }
    fn deep_trees_work() {
        for _ in 0..100 {
            ok(mkdir(p(c"deep-directory-name"), 0o755));
            ok(chdir(p(c"deep-directory-name")));
        }
        yes(cwd().len() > 2000);
    }
}
