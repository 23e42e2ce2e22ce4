//! One log line per system call (`--strace`).

use std::fmt::Write;

use abi::{SysError, SysResult};

use super::Cx;
use crate::syscalls;

/// `[tid] comm name(arg=0x.., ..) = result`
pub(super) fn log(cx: &Cx, nr: u32, args: &[u64; 6], result: &SysResult<u64>) {
    let mut line = String::new();
    let comm = cx.task.comm();
    let _ = write!(line, "[{}] {} ", cx.task.tid, String::from_utf8_lossy(&comm));
    match syscalls::row(nr) {
        Some(row) => {
            let _ = write!(line, "{}(", row.name);
            for (i, (name, value)) in row.args.iter().zip(args).enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                let _ = write!(line, "{comma}{name}={value:#x}");
            }
        }
        None => {
            let _ = write!(line, "syscall_{nr}(");
        }
    }
    let _ = match result {
        Ok(value) => write!(line, ") = {value:#x}"),
        Err(SysError::Errno(errno)) => write!(line, ") = {errno}"),
        Err(SysError::Restart(restart)) => write!(line, ") = restart ({restart:?})"),
    };
    crate::log::info(format_args!("{line}"));
}
