//! The runner: options, one child for each case, a deadline, one TAP line.

use std::ffi::CString;
use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering};

type Case = (&'static str, fn());

/// Where a failing assertion, in the case or a process that it forked, leaves its text.
const REPORT_FD: i32 = 250;
/// Exit status of a case that cannot run here.
const SKIPPED: i32 = 77;

static CURRENT: AtomicI32 = AtomicI32::new(0);

#[derive(Default)]
struct Options {
    list: bool,
    exact: bool,
    seconds: u32,
    filters: Vec<String>,
    skips: Vec<String>,
}

pub fn main(cases: &[Case]) {
    let options = parse();
    let chosen: Vec<&Case> = cases.iter().filter(|(name, _)| options.wants(name)).collect();
    if options.list {
        chosen.iter().for_each(|(name, _)| say(&format!("{name}\n")));
        return;
    }
    say(&format!("1..{}\n", chosen.len()));
    let mut failed = 0;
    for (at, (name, body)) in chosen.iter().enumerate() {
        let number = at + 1;
        if options.skips.iter().any(|skip| skip == name) {
            say(&format!("ok {number} {name} # SKIP by list\n"));
            continue;
        }
        match run(name, *body, options.seconds) {
            Outcome::Passed => say(&format!("ok {number} {name}\n")),
            Outcome::Skipped(why) => say(&format!("ok {number} {name} # SKIP {why}\n")),
            Outcome::Failed(why) => {
                failed += 1;
                say(&format!("not ok {number} {name} # {why}\n"));
            }
        }
    }
    std::process::exit(i32::from(failed > 0));
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

fn run(name: &str, body: fn(), seconds: u32) -> Outcome {
    let base = std::env::var("TEST_DIR").unwrap_or_else(|_| "/tmp".into());
    let dir = CString::new(format!("{base}/{name}.{}", std::process::id())).unwrap();
    // SAFETY: plain system calls on values of this frame; the child leaves by _exit only.
    unsafe {
        let mut pipe = [-1; 2];
        if libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return Outcome::Failed("harness: no pipe".into());
        }
        if libc::mkdir(dir.as_ptr(), 0o755) != 0 {
            return Outcome::Failed(format!("harness: mkdir {dir:?}: {}", std::io::Error::last_os_error()));
        }
        let pid = libc::fork();
        if pid == 0 {
            child(&dir, pipe[1], body);
        }
        libc::close(pipe[1]);
        if pid < 0 {
            libc::close(pipe[0]);
            return Outcome::Failed(format!("harness: fork: {}", std::io::Error::last_os_error()));
        }
        libc::setpgid(pid, pid);
        CURRENT.store(pid, Ordering::SeqCst);
        libc::signal(libc::SIGALRM, out_of_time as *const () as usize);
        libc::alarm(seconds);
        let mut status = 0;
        let mut got;
        loop {
            got = libc::waitpid(pid, &mut status, 0);
            if got == pid || *libc::__errno_location() != libc::EINTR {
                break;
            }
        }
        let late = libc::alarm(0) == 0;
        // Whatever the case left running goes with it.
        libc::kill(-pid, libc::SIGKILL);
        let text = drain(pipe[0]);
        libc::close(pipe[0]);
        let _ = std::fs::remove_dir_all(dir.to_str().unwrap());
        verdict(got == pid, status, late, &text)
    }
}

fn verdict(reaped: bool, status: i32, late: bool, text: &str) -> Outcome {
    let text = text.replace('\n', " ");
    if late && libc::WIFSIGNALED(status) {
        return Outcome::Failed(format!("timeout {text}"));
    }
    if !reaped {
        return Outcome::Failed("harness: waitpid failed".into());
    }
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == SKIPPED {
        return Outcome::Skipped(text);
    }
    if !text.is_empty() {
        return Outcome::Failed(text);
    }
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        return Outcome::Passed;
    }
    if libc::WIFSIGNALED(status) {
        return Outcome::Failed(format!("killed by signal {}", libc::WTERMSIG(status)));
    }
    Outcome::Failed(format!("exit status {}", libc::WEXITSTATUS(status)))
}

unsafe fn child(dir: &CString, report: i32, body: fn()) -> ! {
    unsafe {
        libc::setpgid(0, 0);
        libc::dup3(report, REPORT_FD, libc::O_CLOEXEC);
        libc::close(report);
        // Rust's runtime ignores SIGPIPE and catches stack overflows; a case starts as a C program would.
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        let off = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        libc::sigaltstack(&off, std::ptr::null_mut());
        libc::umask(0o022);
        std::panic::set_hook(Box::new(|info| {
            let at = info
                .location()
                .map(|at| format!("{}:{}", at.file(), at.line()))
                .unwrap_or_default();
            let what = info.payload();
            let what = what
                .downcast_ref::<&str>()
                .map(|s| (*s).to_string())
                .or(what.downcast_ref::<String>().cloned());
            report_text(&format!("{at} {} ", what.unwrap_or_default()));
            libc::_exit(101);
        }));
        if libc::chdir(dir.as_ptr()) != 0 {
            report_text("harness: chdir failed");
            libc::_exit(1);
        }
        body();
        libc::_exit(0);
    }
}

/// Ends the case as one that this machine cannot run.
pub fn skip(why: &str) -> ! {
    report_text(why);
    // SAFETY: ends the process.
    unsafe { libc::_exit(SKIPPED) }
}

fn report_text(text: &str) {
    // SAFETY: writes bytes of this frame; a case that closed the pipe is heard on stderr.
    unsafe {
        if libc::write(REPORT_FD, text.as_ptr().cast(), text.len()) < 0 {
            libc::write(2, text.as_ptr().cast(), text.len());
        }
    }
}

fn drain(fd: i32) -> String {
    let mut buffer = [0_u8; 4096];
    // SAFETY: reads into a buffer of this frame; the pipe does not block.
    let got = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    String::from_utf8_lossy(&buffer[..usize::try_from(got).unwrap_or(0)]).into_owned()
}

extern "C" fn out_of_time(_: i32) {
    let pid = CURRENT.load(Ordering::SeqCst);
    // SAFETY: kill is async-signal-safe.
    unsafe {
        libc::kill(-pid, libc::SIGKILL);
        libc::kill(pid, libc::SIGKILL);
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        let hit = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter.as_str())
            }
        };
        self.filters.is_empty() || self.filters.iter().any(hit)
    }
}

fn parse() -> Options {
    let mut options = Options {
        seconds: 10,
        ..Options::default()
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => options.list = true,
            "--exact" => options.exact = true,
            "--seconds" => options.seconds = args.next().and_then(|n| n.parse().ok()).unwrap_or(10),
            "--skip-file" => {
                let text = std::fs::read_to_string(args.next().unwrap_or_default()).unwrap_or_default();
                options.skips = text.lines().map(str::to_string).collect();
            }
            "--help" => {
                say("usage: PROGRAM [--list] [--exact] [--seconds N] [--skip-file FILE] [NAME...]\n");
                std::process::exit(0);
            }
            _ => options.filters.push(arg),
        }
    }
    options
}
