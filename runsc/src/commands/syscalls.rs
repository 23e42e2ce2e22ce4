//! `runsc syscalls`: the kernel's own table, for people, for programs and for `docs/syscalls.md`.

use clap::{Args, ValueEnum};
use sentry::syscalls::{Row, Status};

use crate::error::{Context, Error, Result};

#[derive(Args)]
pub struct SyscallsArgs {
    /// Format of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,

    /// Only this system call, by name or number
    #[arg(value_name = "CALL")]
    call: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
    Markdown,
}

pub fn run(args: &SyscallsArgs) -> Result<i32> {
    let mut rows = sentry::syscalls::rows();
    if let Some(call) = &args.call {
        rows.retain(|row| row.name == call || call.parse() == Ok(row.nr));
        if rows.is_empty() {
            return Err(Error::new(format!("no system call is named or numbered {call:?}")));
        }
    }
    let text = match args.format {
        Format::Table => table(&rows),
        Format::Json => json(&rows)?,
        Format::Markdown => markdown(&rows),
    };
    crate::commands::print(&text)
}

fn status(row: &Row) -> String {
    match (row.status, row.errno) {
        (Status::full, _) => "full".to_owned(),
        (Status::partial, _) => "partial".to_owned(),
        (Status::todo, _) => "missing, ENOSYS".to_owned(),
        (Status::refused, Some(errno)) => format!("refused, {errno}"),
        (Status::refused, None) => "refused".to_owned(),
    }
}

fn count(rows: &[Row], status: Status) -> usize {
    rows.iter().filter(|row| row.status == status).count()
}

fn summary(rows: &[Row]) -> String {
    format!(
        "{} calls: {} full, {} partial, {} refused, {} missing",
        rows.len(),
        count(rows, Status::full),
        count(rows, Status::partial),
        count(rows, Status::refused),
        count(rows, Status::todo),
    )
}

fn table(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let line = format!("{:>4}  {:<24} {:<18} {}", row.nr, row.name, status(row), row.note);
        format!("{}\n", line.trim_end())
    });
    format!("{}{}\n", lines.collect::<String>(), summary(rows))
}

fn markdown(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        format!(
            "| {} | `{}({})` | {} | {} |\n",
            row.nr,
            row.name,
            row.args.join(", "),
            status(row),
            row.note.replace('|', "\\|")
        )
    });
    format!(
        "# System calls\n\nMade by `runsc syscalls --format markdown`. x86-64, {}.\n\n| no. | call | status | note |\n|---|---|---|---|\n{}",
        summary(rows),
        lines.collect::<String>()
    )
}

fn json(rows: &[Row]) -> Result<String> {
    let list: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "number": row.nr,
                "name": row.name,
                "status": format!("{:?}", row.status),
                "errno": row.errno.map(|e| e.to_string()),
                "note": row.note,
                "args": row.args,
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&list).context(|| "table")? + "\n")
}
