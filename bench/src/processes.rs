//! Processes and threads that start, end and wake each other.

use std::ptr::null_mut;

use crate::measure;

pub fn run() {
    // SAFETY: children leave by _exit or exec; buffers are of this frame.
    unsafe {
        ping_pong();
        futex_ping_pong();
        measure("thread create + join", || {
            std::thread::spawn(|| ()).join().unwrap_or(())
        });
        measure("fork + exit + wait", || {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit(0);
            }
            libc::waitpid(pid, null_mut(), 0);
        });
        let args = [c"true".as_ptr(), std::ptr::null()];
        measure("fork + exec /bin/true + wait", || {
            let pid = libc::fork();
            if pid == 0 {
                libc::execv(c"/bin/true".as_ptr(), args.as_ptr());
                libc::_exit(1);
            }
            libc::waitpid(pid, null_mut(), 0);
        });
    }
}

unsafe fn ping_pong() {
    let (mut a, mut b) = ([0; 2], [0; 2]);
    libc::pipe(a.as_mut_ptr());
    libc::pipe(b.as_mut_ptr());
    let pid = libc::fork();
    let mut byte = 0_u8;
    if pid == 0 {
        libc::close(a[1]);
        while libc::read(a[0], (&raw mut byte).cast(), 1) == 1 {
            libc::write(b[1], (&raw const byte).cast(), 1);
        }
        libc::_exit(0);
    }
    libc::close(a[0]);
    measure("pipe ping-pong of two processes", || {
        libc::write(a[1], (&raw const byte).cast(), 1);
        libc::read(b[0], (&raw mut byte).cast(), 1);
    });
    libc::close(a[1]);
    libc::waitpid(pid, null_mut(), 0);
}

fn futex_ping_pong() {
    use std::sync::mpsc::channel;
    let (to, from_main) = channel::<bool>();
    let (back, from_thread) = channel::<bool>();
    let thread = std::thread::spawn(move || {
        while let Ok(true) = from_main.recv() {
            if back.send(true).is_err() {
                break;
            }
        }
    });
    measure("futex ping-pong of two threads", || {
        let _ = to.send(true);
        let _ = from_thread.recv();
    });
    let _ = to.send(false);
    let _ = thread.join();
}
