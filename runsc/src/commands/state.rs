//! `runsc state`.

use super::Env;
use crate::error::{Context, Result};

pub fn run(env: &Env<'_>, id: &str) -> Result<i32> {
    let record = env.store.load(id)?;
    println!(
        "{}",
        serde_json::to_string_pretty(&record.to_state_json()).context(|| "state")?
    );
    Ok(0)
}
