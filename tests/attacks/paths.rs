//! Tries to name, open or reach what lies outside the directory that it was given. Usage: `paths DIR`.
//!
//! DIR is a bind mount of a host directory beside which the host keeps a file `secret`; the runner has put links, a fifo and a
//! socket into it. Whatever is printed after `LEAK` is a failure.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn leak(what: &str, text: &[u8]) {
    // Backwards, so that this program does not hold the word itself: it reads its own `/proc/self/exe` too.
    if text.windows(10).any(|w| w.iter().rev().eq(b"TERCES-POT")) {
        println!("LEAK {what}");
    }
}

fn try_read(path: &str) {
    if let Ok(text) = fs::read(path) {
        leak(path, &text);
    }
    let _ = fs::write(path, "overwritten");
}

fn main() {
    // It writes wherever it gets to: only ever as the init of a sandbox.
    if std::process::id() != 1 {
        eprintln!("paths: runs as process 1 of a sandbox only");
        std::process::exit(2);
    }
    let dir = std::env::args().nth(1).unwrap_or_else(|| "/data".into());
    let host = std::env::args().nth(2).unwrap_or_default();
    names(&dir, &host);
    prepared_links(&dir);
    proc_doors(&host);
    renames(&dir);
    devices(&dir);
    sockets(&dir);
    handles(&dir);
    roots(&dir);
    println!("done");
}

/// Plain names, up and around.
fn names(dir: &str, host: &str) {
    let up = "../".repeat(40);
    for path in [
        format!("{dir}/../secret"),
        format!("{dir}/sub/../../secret"),
        format!("{dir}/{up}{host}/secret"),
        format!("{host}/secret"),
        format!("{dir}/./.././/secret"),
        format!("{dir}/sub/{up}../secret"),
    ] {
        try_read(&path);
    }
    for (n, target) in [
        format!("{host}/secret"),
        "../secret".into(),
        format!("{up}{host}/secret"),
        "sub/../../secret".into(),
    ]
    .iter()
    .enumerate()
    {
        let link = format!("{dir}/own-link-{n}");
        let _ = symlink(target, &link);
        try_read(&link);
        let _ = fs::hard_link(target, format!("{dir}/own-hard-{n}"));
        try_read(&format!("{dir}/own-hard-{n}"));
    }
}

/// Links that were there before.
fn prepared_links(dir: &str) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            try_read(path.to_str().unwrap_or_default());
            try_read(path.join("secret").to_str().unwrap_or_default());
            try_read(path.join("passwd").to_str().unwrap_or_default());
        }
    }
}

/// The doors that /proc has on Linux.
fn proc_doors(host: &str) {
    for pid in ["1", "self", "2"] {
        for door in ["root", "cwd"] {
            try_read(&format!("/proc/{pid}/{door}{host}/secret"));
            try_read(&format!("/proc/{pid}/{door}/../secret"));
        }
        for fd in 0..64 {
            try_read(&format!("/proc/{pid}/fd/{fd}/../secret"));
            try_read(&format!("/proc/{pid}/fd/{fd}/secret"));
        }
        if let Ok(mut exe) = fs::read(format!("/proc/{pid}/exe")) {
            exe.truncate(1 << 20);
            leak("exe", &exe);
        }
        let _ = fs::write(format!("/proc/{pid}/exe"), "overwritten");
    }
    for file in [
        "/proc/kcore",
        "/proc/kallsyms",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
    ] {
        let before = fs::read(file).unwrap_or_default();
        if fs::write(file, "|/tmp/evil").is_ok()
            && file.ends_with("core_pattern")
            && fs::read(file).unwrap_or_default() == before
        {
            println!("{file} pretends to be written");
        }
    }
}

/// A directory that moves while another process walks through it.
fn renames(dir: &str) {
    let inner = format!("{dir}/race/a/b/c");
    let _ = fs::create_dir_all(&inner);
    // SAFETY: the child only renames and leaves by _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        for _ in 0..4000 {
            let _ = fs::rename(format!("{dir}/race/a/b"), format!("{dir}/race/b"));
            let _ = fs::rename(format!("{dir}/race/b"), format!("{dir}/race/a/b"));
            let _ = fs::remove_file(format!("{dir}/race/swap"));
            let _ = symlink("../../../..", format!("{dir}/race/swap"));
            let _ = fs::remove_file(format!("{dir}/race/swap"));
            let _ = fs::create_dir(format!("{dir}/race/swap"));
            let _ = fs::remove_dir(format!("{dir}/race/swap"));
        }
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    let paths = [
        format!("{dir}/race/a/b/c/../../../../secret"),
        format!("{dir}/race/a/b/c/../../../../../secret"),
        format!("{dir}/race/swap/secret"),
        format!("{dir}/race/swap/../../secret"),
    ];
    loop {
        for path in &paths {
            if let Ok(text) = fs::read(path) {
                leak(path, &text);
            }
        }
        // SAFETY: plain call.
        if unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) } != 0 {
            break;
        }
    }
}

/// Nodes for host devices, made inside and found there.
fn devices(dir: &str) {
    for (name, major, minor) in [
        ("mem", 1, 1),
        ("port", 1, 4),
        ("vda", 254, 0),
        ("sda", 8, 0),
        ("kmsg", 1, 11),
    ] {
        let path = format!("{dir}/{name}\0");
        // SAFETY: the path ends with NUL.
        unsafe {
            let kind = if name.ends_with("da") {
                libc::S_IFBLK
            } else {
                libc::S_IFCHR
            };
            libc::mknod(path.as_ptr().cast(), kind | 0o666, libc::makedev(major, minor));
            let fd = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_NONBLOCK);
            if fd >= 0 {
                let mut byte = [0_u8; 512];
                if libc::read(fd, byte.as_mut_ptr().cast(), 512) > 0 {
                    println!("LEAK device {name} can be read");
                }
            }
        }
        let _ = fs::remove_file(path.trim_end_matches('\0'));
    }
}

/// A host server's socket in the directory must not be reachable.
fn sockets(dir: &str) {
    if std::os::unix::net::UnixStream::connect(Path::new(dir).join("host.sock")).is_ok() {
        println!("LEAK connected to a host socket");
    }
}

/// Handles name files by inode, past all directories.
fn handles(dir: &str) {
    // SAFETY: the buffer is larger than any handle.
    unsafe {
        let path = format!("{dir}\0");
        let mut handle = [0_u64; 40];
        handle[0] = 128;
        let mut mount = 0;
        let root = libc::open(c"/".as_ptr(), libc::O_RDONLY);
        for inode in [2_u64, 128, 1] {
            let mut forged = [8_u64 | 1 << 32, inode, 0];
            let fd = libc::syscall(libc::SYS_open_by_handle_at, root, forged.as_mut_ptr(), libc::O_RDONLY);
            if fd >= 0 {
                println!("a forged handle opened something");
            }
        }
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            handle.as_mut_ptr(),
            &mut mount,
            0,
        );
    }
}

/// The classic way out of a chroot.
fn roots(dir: &str) {
    // SAFETY: plain calls on constant paths.
    unsafe {
        let fd = libc::open(c"/".as_ptr(), libc::O_RDONLY);
        let path = format!("{dir}\0");
        if libc::chroot(path.as_ptr().cast()) == 0 {
            libc::fchdir(fd);
            for _ in 0..60 {
                libc::chdir(c"..".as_ptr());
            }
            libc::chroot(c".".as_ptr());
        }
    }
    try_read("/secret");
    try_read("../../../../secret");
}
