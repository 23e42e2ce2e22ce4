//! `/proc/PID/timens_offsets` (`time_namespaces(7)`): of the namespace that the process's children are in.

use std::sync::{Arc, Weak};

use abi::Errno;
use abi::errno::Result;

use super::{Proc, owner};
use crate::cred::{Cred, cap};
use crate::fs::impls::pseudo::{Attr, Text, TextNode};
use crate::fs::{InodeOps, SuperBlock};
use crate::task::Task;
use crate::time::{Offset, Shifted, TimeNamespace};

const MODE: u32 = 0o644;
/// Lines that a write takes.
const LINES: usize = 2;

pub(super) fn node(_: &Arc<Proc>, _: &Arc<SuperBlock>, task: &Arc<Task>, _: u64) -> Box<dyn InodeOps> {
    TextNode::new(Attr::root(MODE), Offsets(Arc::downgrade(task)))
}

struct Offsets(Weak<Task>);

impl Offsets {
    fn namespace(&self) -> Result<Arc<TimeNamespace>> {
        let task = self.0.upgrade().filter(|task| !task.group.has_ended());
        Ok(task.ok_or(Errno::ESRCH)?.ns().time_for_children.clone())
    }
}

impl Text for Offsets {
    fn read(&self) -> Result<Vec<u8>> {
        let ns = self.namespace()?;
        let line = |name: &str, clock| {
            let (seconds, below) = ns.offset(clock);
            format!("{name:<10} {seconds:10} {below:9}\n")
        };
        let lines = [
            line("monotonic", Shifted::Monotonic),
            line("boottime", Shifted::Boottime),
        ];
        Ok(lines.concat().into_bytes())
    }

    fn write_as(&self, opener: Option<&Cred>, data: &[u8], pos: u64) -> Result<usize> {
        if pos != 0 || data.len() >= 4096 {
            return Err(Errno::EINVAL);
        }
        let (offsets, taken) = parse(data)?;
        let ns = self.namespace()?;
        if opener.is_some_and(|cred| !cred.has_cap_in(&ns.user_ns, cap::SYS_TIME)) {
            return Err(Errno::EPERM);
        }
        ns.set(&offsets)?;
        Ok(taken)
    }

    fn attr(&self) -> Option<Attr> {
        Some(owner(&*self.0.upgrade()?, MODE))
    }
}

/// Lines of clock, seconds and nanoseconds, and how many bytes they are.
fn parse(data: &[u8]) -> Result<(Vec<(Shifted, Offset)>, usize)> {
    // A text in C ends at a zero.
    let text = data.split(|&b| b == 0).next().unwrap_or_default();
    let mut offsets = Vec::new();
    let mut rest = Some(text);
    while let Some(now) = rest.filter(|_| offsets.len() < LINES) {
        let (line, next) = match now.iter().position(|&b| b == b'\n') {
            Some(end) => now.split_at_checked(end).ok_or(Errno::EINVAL)?,
            None => (now, &b""[..]),
        };
        offsets.push(parse_line(line).ok_or(Errno::EINVAL)?);
        rest = next.get(1..).filter(|next| !next.is_empty());
    }
    Ok((offsets, data.len() - rest.map_or(0, <[u8]>::len)))
}

/// As `sscanf(3)` reads `%9s %lld %lu`; what follows does not matter.
fn parse_line(line: &[u8]) -> Option<(Shifted, Offset)> {
    const NAME: usize = 9;
    let start = line.trim_ascii_start();
    let end = start.iter().take(NAME).position(u8::is_ascii_whitespace);
    let (name, rest) = start.split_at_checked(end.unwrap_or(NAME.min(start.len())))?;
    let clock = match name {
        b"monotonic" | b"1" => Shifted::Monotonic,
        b"boottime" | b"7" => Shifted::Boottime,
        _ => return None,
    };
    let rest = rest.trim_ascii_start();
    let (negative, digits) = match rest.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, rest),
    };
    let (seconds, rest) = number(digits)?;
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let (below, _) = number(rest.trim_ascii_start())?;
    let below = u32::try_from(below).ok().filter(|below| *below < 1_000_000_000)?;
    Some((clock, (if negative { -seconds } else { seconds }, below)))
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.is_empty())?;
    Some((digits.parse().unwrap_or(u64::MAX), rest))
}

#[cfg(test)]
mod tests {
    use super::{Shifted, parse};
    use abi::Errno;

    #[test]
    fn two_lines_are_taken_and_counted() {
        let one = (Shifted::Monotonic, (-5, 7));
        let two = (Shifted::Boottime, (3, 0));
        assert_eq!(parse(b"monotonic -5 7"), Ok((vec![one], 14)));
        assert_eq!(parse(b"1 -5 7\n7 3 0\nnonsense"), Ok((vec![one, two], 13)));
        assert_eq!(parse(b"1 -5 7\n\n"), Err(Errno::EINVAL));
        assert_eq!(parse(b""), Err(Errno::EINVAL));
    }
}
