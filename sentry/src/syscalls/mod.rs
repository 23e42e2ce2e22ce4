//! System calls: the table, and one file of handlers per family.

mod args;
mod table;
mod table_macro;

mod aio;
mod dir;
mod futex;
mod ids;
mod inotify;
mod limits;
pub(crate) mod misc;
mod mm;
mod mount;
mod net;
mod open;
mod pipe;
mod poll;
mod prctl;
mod process;
mod rw;
mod seccomp;
mod signal;
mod stat;
mod sysv;
mod time;
mod xattr;

use std::collections::BTreeMap;

use abi::{Errno, SysResult};

use crate::sync::Mutex;
use crate::task::Cx;

pub(crate) use misc::{RELEASE, VERSION, banner};

/// How complete a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the table's own words")]
pub enum Status {
    /// As Linux.
    full,
    /// The note says what is missing.
    partial,
    /// Not there yet.
    todo,
    /// Never, on purpose.
    refused,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Number on x86-64.
    pub nr: u32,
    /// Linux name.
    pub name: &'static str,
    /// How complete.
    pub status: Status,
    /// What a refused call gives.
    pub errno: Option<Errno>,
    /// What is missing, or why it is refused.
    pub note: &'static str,
    /// Argument names, as the man page has them.
    pub args: &'static [&'static str],
}

/// Every row in the order of the numbers.
pub fn rows() -> Vec<Row> {
    let mut rows = table::ROWS.to_vec();
    rows.sort_by_key(|r| r.nr);
    rows
}

/// The row of one number.
pub fn row(nr: u32) -> Option<&'static Row> {
    table::ROWS.iter().find(|r| r.nr == nr)
}

/// What guests called that is missing: (call or feature, value) and how often.
#[derive(Default)]
pub struct Counters {
    missing: Mutex<BTreeMap<(&'static str, u64), u64>>,
}

impl Counters {
    /// The one funnel for what is missing: counts it and gives the error number.
    pub fn missing(&self, what: &'static str, value: u64, errno: Errno) -> Errno {
        let mut missing = self.missing.lock();
        // Values are the guest's: their number is bounded.
        if missing.len() < 4096 || missing.contains_key(&(what, value)) {
            let count = missing.entry((what, value)).or_insert(0);
            if *count == 0 {
                crate::log::info(format_args!("missing: {what} {value:#x}: {errno}"));
            }
            *count = count.saturating_add(1);
        }
        errno
    }

    /// The report so far.
    pub fn report(&self) -> Vec<(&'static str, u64, u64)> {
        self.missing
            .lock()
            .iter()
            .map(|(&(what, value), &n)| (what, value, n))
            .collect()
    }
}

/// Serves the system call that the registers ask for.
pub async fn serve(cx: &mut Cx, nr: u32, args: [u64; 6]) -> SysResult<u64> {
    match table::serve_now(cx, nr, args) {
        Some(result) => result,
        None => table::serve_waiting(cx, nr, args).await,
    }
}
