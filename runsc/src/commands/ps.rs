//! `runsc ps`.

use std::process::Command;

use clap::{Args, ValueEnum};

use super::Env;
use crate::error::{Context, Error, Result};
use crate::sandbox::processes;
use crate::state::Status;

#[derive(Args)]
pub struct PsArgs {
    /// Format of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,

    /// Container
    id: String,

    /// What ps(1) of the host is called with [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    args: Vec<String>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

pub fn run(env: &Env<'_>, args: &PsArgs) -> Result<i32> {
    let record = env.store.load(&args.id)?;
    let pids = match record.status() {
        Status::Created | Status::Running | Status::Paused => processes::host_pids(env, &record)?,
        Status::Creating | Status::Stopped => Vec::new(),
    };
    if args.format == Format::Json {
        return super::print(&format!("{}\n", serde_json::json!(pids)));
    }
    let mut command = Command::new("ps");
    if args.args.is_empty() {
        command.arg("-ef");
    } else {
        command.args(&args.args);
    }
    let output = command.output().context(|| "ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("ps: {}", said.lines().next().unwrap_or("failed"))));
    }
    super::print(&filter(&String::from_utf8_lossy(&output.stdout), &pids)?)
}

/// The lines of these processes, and the heading.
fn filter(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Error::new("ps: its output has no PID column"))?;
    let mine = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    Ok(std::iter::once(heading)
        .chain(lines.filter(mine))
        .flat_map(|line| [line, "\n"])
        .collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_these() {
        let table = "UID   PID PPID CMD\nroot    1    0 init\nroot   12    1 sh 1\n";
        assert_eq!(
            super::filter(table, &[12]).unwrap(),
            "UID   PID PPID CMD\nroot   12    1 sh 1\n"
        );
        assert!(super::filter("USER CMD\nroot x\n", &[1]).is_err());
    }
}
