//! `/dev/kmsg`: the kernel's log, a record to each read.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::fs::{File, FileOps, SeekFrom, Sink, Source, WriteAt};
use crate::kmsg::{Log, Mark, Record};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

/// Longest record that is written (`PRINTKRB_RECORD_MAX`).
const MAX: usize = 1024;
/// `default_message_loglevel`
const WARNING: u32 = 4;
/// What programs are, and never the kernel.
const USER: u32 = 1;

/// An open device.
pub(super) struct Kmsg {
    log: Arc<Log>,
    /// The record that is read next.
    next: Mutex<u64>,
}

impl Kmsg {
    pub(super) fn open(log: &Arc<Log>) -> Kmsg {
        Kmsg {
            log: log.clone(),
            next: Mutex::new(log.mark(Mark::First)),
        }
    }
}

/// `<N>` before the text: facility and level, the kernel's own facility being nobody else's.
fn priority(line: &[u8]) -> (u32, &[u8]) {
    let default = (USER << 3 | WARNING, line);
    let Some(rest) = line.strip_prefix(b"<") else {
        return default;
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (Some(number), Some(text)) = (
        rest.get(..digits),
        rest.get(digits..).and_then(|r| r.strip_prefix(b">")),
    ) else {
        return default;
    };
    let number = number.iter().fold(0u32, |n, b| {
        n.wrapping_mul(10).wrapping_add(u32::from(b.wrapping_sub(b'0')))
    });
    let facility = match (number >> 3) & 0xff {
        0 => USER,
        other => other,
    };
    (facility << 3 | number & 7, text)
}

/// `priority,sequence,time,flags;text`, with everything in the text that is not plain escaped.
fn line(record: &Record) -> Vec<u8> {
    let mut line = format!("{},{},{},-;", record.priority, record.seq, record.time_us).into_bytes();
    for &byte in &record.text {
        match byte {
            b'\\' | 0..b' ' | 127.. => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => line.push(byte),
        }
    }
    line.push(b'\n');
    line
}

impl FileOps for Kmsg {
    fn read(&self, _file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        let mut next = self.next.lock();
        let record = self.log.get(*next).ok_or(Errno::EAGAIN)?;
        if record.seq != *next {
            // It is gone; the reader is told once and goes on with the oldest.
            *next = record.seq;
            return Err(Errno::EPIPE);
        }
        *next += 1;
        let line = line(&record);
        if line.len() > dst.remaining() {
            return Err(Errno::EINVAL);
        }
        dst.put(&line)
    }

    fn write(&self, _file: &File, src: &mut dyn Source, _at: &mut WriteAt) -> Result<usize> {
        let n = src.remaining();
        if n > MAX {
            return Err(Errno::EINVAL);
        }
        let mut buf = vec![0u8; n];
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match src.take(rest)? {
                0 => return Err(Errno::EFAULT),
                taken => done += taken,
            }
        }
        let (priority, text) = priority(&buf);
        let text = text.split(|&b| b == 0).next().unwrap_or_default();
        self.log.add(priority, text.strip_suffix(b"\n").unwrap_or(text));
        Ok(n)
    }

    fn seek(&self, _file: &File, to: SeekFrom, _pos: u64) -> Result<u64> {
        let mark = match to {
            SeekFrom::Start(0) => Mark::First,
            SeekFrom::Data(0) => Mark::Cleared,
            SeekFrom::End(0) => Mark::End,
            SeekFrom::Start(_) | SeekFrom::Data(_) | SeekFrom::End(_) => return Err(Errno::ESPIPE),
            SeekFrom::Current(0) | SeekFrom::Hole(0) => return Err(Errno::EINVAL),
            SeekFrom::Current(_) | SeekFrom::Hole(_) => return Err(Errno::ESPIPE),
        };
        *self.next.lock() = self.log.mark(mark);
        Ok(0)
    }

    fn poll(&self, _file: &File) -> Events {
        let next = *self.next.lock();
        match self.log.get(next) {
            None => Events::WRITE,
            Some(record) if record.seq == next => Events::READ | Events::WRITE,
            Some(_) => Events::READ | Events::WRITE | Events::ERR | Events::PRI,
        }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.log.queue)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities() {
        for (line, wanted) in [
            (&b"x"[..], (12, &b"x"[..])),
            (b"<3>x", (11, b"x")),
            (b"<30>x", (30, b"x")),
            (b"<>x", (8, b"x")),
            (b"<3x", (12, b"<3x")),
            (b"<99999999999999999999>", (wrapped(), b"")),
        ] {
            assert_eq!(priority(line), wanted, "{}", String::from_utf8_lossy(line));
        }
    }

    fn wrapped() -> u32 {
        let (number, _) = priority(b"<99999999999999999999>");
        assert!(number < 0x800);
        number
    }

    #[test]
    fn escapes() {
        let record = Record {
            seq: 7,
            time_us: 8,
            priority: 9,
            text: b"a\\\n\x1b\xff~".to_vec(),
        };
        assert_eq!(line(&record), b"9,7,8,-;a\\x5c\\x0a\\x1b\\xff~\n");
    }
}
