//! `runsc list`.

use clap::{Args, ValueEnum};

use super::Env;
use crate::error::{Context, Result};

#[derive(Args)]
pub struct ListArgs {
    /// Format of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,

    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

pub fn run(env: &Env<'_>, args: &ListArgs) -> Result<i32> {
    crate::sandbox::sweep(env);
    let records = env.store.list()?;
    if args.quiet {
        for record in &records {
            println!("{}", record.id);
        }
        return Ok(0);
    }
    if args.format == Format::Json {
        let list: Vec<_> = records.iter().map(crate::state::Record::to_state_json).collect();
        println!("{}", serde_json::to_string(&list).context(|| "list")?);
        return Ok(0);
    }
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(header)
        .chain(records.iter().map(|r| {
            [
                r.id.clone(),
                r.shown_pid().to_string(),
                r.status().name().to_owned(),
                r.bundle.display().to_string(),
                r.created.clone(),
                r.owner.clone(),
            ]
        }))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    // As Go's tabwriter does for runc: twelve columns at least, three between two.
    let widths: Vec<usize> = (0..6).map(|c| (width(c) + 3).max(12)).collect();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        println!("{}", line.trim_end());
    }
    Ok(0)
}
