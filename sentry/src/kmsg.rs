//! The kernel's log (`kmsg`, `syslog(2)`): what the sandbox's kernel says at boot and what its administrator writes to `/dev/kmsg`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

/// Bytes that the log may take; the oldest records go.
pub const SIZE: usize = 1 << 17;
/// What a record costs beside its text.
const OVERHEAD: usize = 48;

/// One line.
#[derive(Clone)]
pub struct Record {
    /// Number, without gaps.
    pub seq: u64,
    /// Microseconds since boot.
    pub time_us: u64,
    /// Facility and level, as in `<13>`.
    pub priority: u32,
    /// Without a newline at its end.
    pub text: Vec<u8>,
}

#[derive(Default)]
struct State {
    records: VecDeque<Record>,
    bytes: usize,
    next: u64,
    /// The first one since the last `SYSLOG_ACTION_CLEAR`.
    cleared: u64,
    /// The first one that `SYSLOG_ACTION_READ` has not taken.
    read: u64,
}

/// The log of one kernel.
#[derive(Default)]
pub struct Log {
    state: Mutex<State>,
    /// Woken when there is a record more.
    pub queue: Arc<WaitQueue>,
}

/// Where a reader may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The oldest record.
    First,
    /// The first one since the log was cleared.
    Cleared,
    /// Behind the newest.
    End,
}

impl Log {
    /// Adds a record.
    pub fn add(&self, priority: u32, text: &[u8]) {
        let mut state = self.state.lock();
        let record = Record {
            seq: state.next,
            time_us: crate::time::clock::boottime_now() / 1000,
            priority,
            text: text.to_vec(),
        };
        state.next += 1;
        state.bytes += record.text.len() + OVERHEAD;
        state.records.push_back(record);
        while state.bytes > SIZE
            && let Some(old) = state.records.pop_front()
        {
            state.bytes -= old.text.len() + OVERHEAD;
        }
        drop(state);
        self.queue.wake(Events::READ);
    }

    /// The number of the record at that mark.
    pub fn mark(&self, mark: Mark) -> u64 {
        let state = self.state.lock();
        match mark {
            Mark::First => state.first(),
            Mark::Cleared => state.cleared.max(state.first()),
            Mark::End => state.next,
        }
    }

    /// The record of that number; that of the oldest if it is gone; none if it does not exist yet.
    pub fn get(&self, seq: u64) -> Option<Record> {
        let state = self.state.lock();
        let at = usize::try_from(seq.saturating_sub(state.first())).ok()?;
        state.records.get(at).cloned()
    }

    /// `SYSLOG_ACTION_READ_ALL`: the last records since the log was cleared that fit; with `clear` they are not given again.
    pub fn last(&self, room: usize, clear: bool) -> Vec<u8> {
        let mut state = self.state.lock();
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let mut left = room;
        for record in state.records.iter().rev().take_while(|r| r.seq >= state.cleared) {
            let line = record.line();
            match left.checked_sub(line.len()) {
                Some(rest) => left = rest,
                None => break,
            }
            lines.push(line);
        }
        if clear {
            state.cleared = state.next;
        }
        lines.reverse();
        lines.concat()
    }

    /// `SYSLOG_ACTION_CLEAR`
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.cleared = state.next;
    }

    /// `SYSLOG_ACTION_READ`: the next records that fit, each only once.
    pub fn take(&self, room: usize) -> Vec<u8> {
        let mut state = self.state.lock();
        let mut out = Vec::new();
        let from = state.read.max(state.first());
        let mut read = from;
        for record in state.records.iter().filter(|r| r.seq >= from) {
            let line = record.line();
            if out.len() + line.len() > room {
                break;
            }
            out.extend_from_slice(&line);
            read = record.seq + 1;
        }
        state.read = read;
        out
    }

    /// `SYSLOG_ACTION_SIZE_UNREAD`
    pub fn unread(&self) -> usize {
        let state = self.state.lock();
        let unread = state.records.iter().filter(|r| r.seq >= state.read);
        unread.map(|r| r.line().len()).sum()
    }
}

impl State {
    fn first(&self) -> u64 {
        self.records.front().map_or(self.next, |r| r.seq)
    }
}

impl Record {
    /// As `syslog(2)` gives it.
    fn line(&self) -> Vec<u8> {
        let (seconds, micros) = (self.time_us / 1_000_000, self.time_us % 1_000_000);
        let mut line = format!("<{}>[{seconds:5}.{micros:06}] ", self.priority).into_bytes();
        line.extend_from_slice(&self.text);
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go() {
        let log = Log::default();
        for _ in 0..1000 {
            log.add(6, &[b'x'; 1000]);
        }
        let first = log.mark(Mark::First);
        assert!(first > 800 && log.mark(Mark::End) == 1000);
        assert_eq!(log.get(0).map(|r| r.seq), Some(first));
        assert_eq!(log.get(999).map(|r| r.seq), Some(999));
        assert!(log.get(1000).is_none());
        assert!(log.state.lock().bytes <= SIZE);
    }

    #[test]
    fn cleared_and_taken() {
        let log = Log::default();
        log.add(5, b"one");
        log.add(12, b"two");
        let all = String::from_utf8(log.last(4096, false)).unwrap();
        assert!(all.starts_with("<5>[") && all.ends_with("] two\n"), "{all}");
        assert_eq!(
            log.last(30, false),
            log.last(4096, false).split_at(all.find("<12>").unwrap()).1
        );
        assert_eq!(log.unread(), all.len());
        assert_eq!(log.take(4096), all.as_bytes());
        assert_eq!(log.unread(), 0);
        assert!(!log.last(4096, true).is_empty() && log.last(4096, false).is_empty());
        assert!(log.get(0).is_some() && log.mark(Mark::Cleared) == 2);
    }
}
