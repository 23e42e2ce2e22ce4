//! `runsc delete`.

use clap::Args;

use super::Env;
use crate::error::{Error, Result};
use crate::sandbox;
use crate::state::Status;

#[derive(Args)]
pub struct DeleteArgs {
    /// Kill it first; a container that does not exist is no error
    #[arg(short, long)]
    force: bool,

    /// Container
    id: String,
}

pub fn run(env: &Env<'_>, args: &DeleteArgs) -> Result<i32> {
    let container = match env.store.open(&args.id) {
        Ok(container) => container,
        Err(_) if args.force && !env.store.dir(&args.id).exists() => return Ok(0),
        Err(e) => return Err(e),
    };
    // Without a readable record there is nothing to end, and only --force removes what is left.
    let record = match container.read() {
        Ok(record) => record,
        Err(_) if args.force => None,
        Err(e) => return Err(e),
    };
    match record {
        Some(record) => {
            let status = record.status();
            if status != Status::Stopped && !args.force {
                return Err(Error::new(format!(
                    "cannot delete container {} that is not stopped: {}",
                    args.id,
                    status.name()
                )));
            }
            sandbox::destroy(env, container, &record)?;
        }
        None => container.remove()?,
    }
    Ok(0)
}
