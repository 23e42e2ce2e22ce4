//! `runsc wait`.

use clap::Args;

use super::Env;
use crate::error::{Error, Result};
use crate::sandbox::control;
use crate::state::{Record, Status};

#[derive(Args)]
pub struct WaitArgs {
    /// Wait for this process of the container, not for its first
    #[arg(long, value_name = "PID")]
    pid: Option<i32>,

    /// Container
    id: String,
}

/// Waits for the end of a container's process and prints how it ended, as gVisor's command of that name.
pub fn run(env: &Env<'_>, args: &WaitArgs) -> Result<i32> {
    let record = env.store.load(&args.id)?;
    let dir = env.store.dir(&args.id);
    let status = match args.pid {
        Some(pid) => {
            if record.status() == Status::Stopped {
                return Err(Error::new(format!("container not running: {}", args.id)));
            }
            control::wait(&env.store.sandbox_dir(&record), &args.id, pid)?
        }
        None => first_process(&dir, &record)?,
    };
    let code = match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    };
    super::print(&format!(
        "{}\n",
        serde_json::json!({ "id": args.id, "exitStatus": code })
    ))
}

/// The sandbox's last words, once it has ended.
fn first_process(dir: &std::path::Path, record: &Record) -> Result<i32> {
    if record.status() == Status::Creating {
        return Err(Error::new(format!("container {} is being created", record.id)));
    }
    // Opened before: another command may delete the container as soon as it has stopped.
    let exit = std::fs::File::open(control::exit_file(dir));
    if let Some(sandbox) = record.sandbox {
        sandbox.wait();
    }
    let text = exit.and_then(std::io::read_to_string).unwrap_or_default();
    // Without last words it was killed.
    Ok(text.trim().parse().unwrap_or(nix::libc::SIGKILL))
}
