//! `runsc checkpoint` and `runsc restore`: not there yet, and said so.

use clap::Args;

use crate::error::{Error, Result};

/// Taken as runc's, so that callers see the one error that matters.
#[derive(Args)]
pub struct CheckpointArgs {
    /// Options of runc's verb of this name, and the container
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    _args: Vec<String>,
}

pub fn checkpoint(_: &CheckpointArgs) -> Result<i32> {
    Err(Error::new("checkpoint is not supported by this version of runsc"))
}

pub fn restore(_: &CheckpointArgs) -> Result<i32> {
    Err(Error::new("restore is not supported by this version of runsc"))
}
