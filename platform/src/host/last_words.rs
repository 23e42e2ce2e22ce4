//! Why this process ends, told where somebody may look for it. A panic tells its own.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use rustix::event::{PollFd, PollFlags, Timespec};

static FILE: OnceLock<Arc<OwnedFd>> = OnceLock::new();
static LOG: OnceLock<fn(&str)> = OnceLock::new();
static READER: OnceLock<Weak<OwnedFd>> = OnceLock::new();
static SAID: AtomicBool = AtomicBool::new(false);

/// The file for what is said, and a log.
pub fn prepare(file: Option<Arc<OwnedFd>>, log: fn(&str)) {
    if let Some(file) = file {
        let _ = FILE.set(file);
    }
    let _ = LOG.set(log);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(&panic.to_string().replace('\n', " "));
        usual(panic);
    }));
}

/// Where a person reads along, as long as somebody else keeps it open.
pub fn also(reader: &Arc<OwnedFd>) {
    let _ = READER.set(Arc::downgrade(reader));
}

/// Says why. The first reason counts; those that follow from it are not said.
pub fn say(reason: &str) {
    if SAID.swap(true, Ordering::SeqCst) {
        return;
    }
    if let Some(file) = FILE.get() {
        let _ = rustix::io::write(file, format!("{reason}\n").as_bytes());
    }
    if let Some(log) = LOG.get() {
        log(reason);
    }
    if let Some(reader) = READER.get().and_then(Weak::upgrade)
        && takes(&reader)
    {
        let _ = rustix::io::write(&reader, format!("runsc: the sandbox has ended: {reason}\n").as_bytes());
    }
}

/// Whether a short line can be written without waiting: a pipe that nobody empties must not keep the dying.
fn takes(fd: &Arc<OwnedFd>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT)];
    rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok()
        && fds.iter().all(|fd| fd.revents() == PollFlags::OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_and_what_follows_is_not() {
        const FILE: &str = "RUNSC_TEST_LAST_WORDS";
        if let Some(path) = std::env::var_os(FILE) {
            prepare(Some(Arc::new(std::fs::File::create(path).unwrap().into())), |_| {});
            let _ = std::thread::spawn(|| panic!("no {}", "luck")).join();
            say("something else");
            std::process::exit(0);
        }
        let path = std::env::temp_dir().join(format!("runsc-last-words-{}", std::process::id()));
        let name = "host::last_words::tests::a_panic_is_told_and_what_follows_is_not";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name]).env(FILE, &path).status().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(text.contains("panicked at"), "{text:?}");
        assert!(text.ends_with("no luck\n"), "{text:?}");
    }

    #[test]
    fn a_full_pipe_does_not_keep_the_dying() {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let write = Arc::new(write);
        assert!(takes(&write));
        while rustix::io::write(&write, &[0; 4096]).is_ok() {}
        assert!(!takes(&write));
        drop(read);
        assert!(!takes(&write));
    }
}
