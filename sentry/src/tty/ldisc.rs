//! `N_TTY`, the line discipline: pure state, no files and no tasks.

use std::collections::VecDeque;

use abi::termios::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOPRT, ICANON, ICRNL, IEXTEN, IGNCR, IMAXBEL, INLCR, ISIG, ISTRIP,
    IUCLC, IUTF8, IXANY, IXON, NOFLSH, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, PARMRK, TABDLY, Termios, VEOF, VEOL,
    VEOL2, VERASE, VINTR, VKILL, VLNEXT, VQUIT, VREPRINT, VSTART, VSTOP, VSUSP, VWERASE, XTABS,
};

use crate::signal::Signal;

/// Input that has not been read (`N_TTY_BUF_SIZE`).
const INPUT_MAX: usize = 4096;
/// Output that the master has not read: writes wait beyond.
pub(super) const OUTPUT_MAX: usize = 16384;

/// Ends a line.
const DELIM: u16 = 0x100;
/// Ends a line and is not given to the reader (`VEOF`).
const EOF: u16 = 0x200;

/// State of one terminal's discipline.
#[derive(Default)]
pub(super) struct Ldisc {
    pub(super) termios: Termios,
    input: VecDeque<u16>,
    /// Line ends among `input`.
    lines: usize,
    /// Input behind the last line end: what can still be edited.
    tail: usize,
    /// For the master.
    pub(super) output: VecDeque<u8>,
    column: usize,
    /// Column in which the line being edited began.
    line_column: usize,
    lnext: bool,
    /// Between `\` and `/` of `ECHOPRT`.
    erasing: bool,
    /// `^S` or `tcflow(3)`.
    pub(super) stopped: bool,
}

fn byte(cell: u16) -> u8 {
    cell.to_le_bytes()[0]
}

impl Ldisc {
    /// Takes what the master writes; gives how many bytes and the signals that they mean. Stops early where the reader has
    /// to make room first.
    pub(super) fn receive(&mut self, data: &[u8]) -> (usize, Vec<Signal>) {
        let mut signals = Vec::new();
        for (i, &c) in data.iter().enumerate() {
            if !self.termios.l(ICANON) && self.input.len() >= INPUT_MAX - 1 {
                return (i, signals);
            }
            signals.extend(self.receive_byte(c));
        }
        (data.len(), signals)
    }

    /// Room for what the master may write.
    pub(super) fn has_room(&self) -> bool {
        self.termios.l(ICANON) || self.input.len() < INPUT_MAX - 1
    }

    fn receive_byte(&mut self, c: u8) -> Option<Signal> {
        let t = self.termios;
        let mut c = if t.i(ISTRIP) { c & 0x7f } else { c };
        if t.i(IUCLC) && t.l(IEXTEN) {
            c = c.to_ascii_lowercase();
        }
        if std::mem::take(&mut self.lnext) {
            self.literal(c);
            return None;
        }
        if t.i(IXON) {
            if t.is(VSTART, c) {
                self.stopped = false;
                return None;
            }
            if t.is(VSTOP, c) {
                self.stopped = true;
                return None;
            }
        }
        if self.stopped && t.i(IXON) && t.i(IXANY) {
            self.stopped = false;
        }
        if t.l(ISIG)
            && let Some(signal) = self.signal_of(c)
        {
            if !t.l(NOFLSH) {
                self.flush_input();
                self.output.clear();
            }
            if t.i(IXON) {
                self.stopped = false;
            }
            if t.l(ECHO) {
                self.echo(c);
            }
            return Some(signal);
        }
        match c {
            b'\r' if t.i(IGNCR) => return None,
            b'\r' if t.i(ICRNL) => c = b'\n',
            b'\n' if t.i(INLCR) => c = b'\r',
            _ => {}
        }
        if t.l(ICANON) && self.edit(c) {
            return None;
        }
        self.literal(c);
        None
    }

    fn signal_of(&self, c: u8) -> Option<Signal> {
        let t = &self.termios;
        if t.is(VINTR, c) {
            Some(Signal::SIGINT)
        } else if t.is(VQUIT, c) {
            Some(Signal::SIGQUIT)
        } else if t.is(VSUSP, c) {
            Some(Signal::SIGTSTP)
        } else {
            None
        }
    }

    /// A character that means itself.
    fn literal(&mut self, c: u8) {
        if self.full(false) {
            return;
        }
        let t = self.termios;
        if t.l(ECHO) {
            self.finish_erasing();
            if self.tail == 0 {
                self.line_column = self.column;
            }
            if c == b'\n' {
                self.put(b'\n');
            } else {
                self.echo(c);
            }
        }
        if t.i(PARMRK) && c == 0xff {
            self.push(u16::from(c));
        }
        self.push(u16::from(c));
    }

    /// Characters that edit or end the line (`ICANON`); true if it was one.
    fn edit(&mut self, c: u8) -> bool {
        let t = self.termios;
        let extended = t.l(IEXTEN);
        if t.is(VERASE, c) || t.is(VKILL, c) || (t.is(VWERASE, c) && extended) {
            self.erase(c);
            return true;
        }
        if t.is(VLNEXT, c) && extended {
            self.lnext = true;
            if t.l(ECHO) {
                self.finish_erasing();
                if t.l(ECHOCTL) {
                    self.raw(b"^\x08");
                }
            }
            return true;
        }
        if t.is(VREPRINT, c) && t.l(ECHO) && extended {
            self.finish_erasing();
            self.echo(c);
            self.put(b'\n');
            self.line_column = self.column;
            let line: Vec<u8> = self
                .input
                .iter()
                .skip(self.input.len() - self.tail)
                .map(|&x| byte(x))
                .collect();
            for c in line {
                self.echo(c);
            }
            return true;
        }
        if c == b'\n' {
            if self.full(true) {
                return true;
            }
            if t.l(ECHO) || t.l(ECHONL) {
                self.finish_erasing();
                self.put(b'\n');
            }
            self.end_line(u16::from(c) | DELIM);
            return true;
        }
        if t.is(VEOF, c) {
            if !self.full(true) {
                self.end_line(DELIM | EOF);
            }
            return true;
        }
        if t.is(VEOL, c) || (t.is(VEOL2, c) && extended) {
            if self.full(true) {
                return true;
            }
            if t.l(ECHO) {
                self.finish_erasing();
                self.echo(c);
            }
            self.end_line(u16::from(c) | DELIM);
            return true;
        }
        false
    }

    fn push(&mut self, cell: u16) {
        self.input.push_back(cell);
        self.tail += 1;
    }

    fn end_line(&mut self, cell: u16) {
        self.input.push_back(cell);
        self.lines += 1;
        self.tail = 0;
    }

    /// No more input fits; one place is kept for the end of the line.
    fn full(&mut self, ends_line: bool) -> bool {
        let limit = if ends_line { INPUT_MAX } else { INPUT_MAX - 1 };
        if self.input.len() < limit {
            return false;
        }
        if self.termios.i(IMAXBEL) {
            self.raw(b"\x07");
        }
        true
    }

    fn erase(&mut self, c: u8) {
        let t = self.termios;
        if self.tail == 0 {
            return;
        }
        let kill = t.is(VKILL, c);
        let word = t.is(VWERASE, c) && !t.is(VERASE, c) && !kill;
        if kill && !(t.l(ECHO) && t.l(ECHOK) && t.l(ECHOKE) && t.l(ECHOE)) {
            self.input.truncate(self.input.len() - self.tail);
            self.tail = 0;
            if t.l(ECHO) {
                self.finish_erasing();
                self.echo(t.char(VKILL));
                if t.l(ECHOK) {
                    self.put(b'\n');
                }
            }
            return;
        }
        let mut seen_word = false;
        while self.tail > 0 {
            let mut last = vec![self.input.back().map_or(0, |&x| byte(x))];
            if t.i(IUTF8) {
                // The whole character: continuation bytes and their first byte.
                while last.last().is_some_and(|b| b & 0xc0 == 0x80) && last.len() < self.tail {
                    let at = self.input.len() - 1 - last.len();
                    last.push(self.input.get(at).map_or(0, |&x| byte(x)));
                }
            }
            let first = last.last().copied().unwrap_or(0);
            if word {
                let in_word = first.is_ascii_alphanumeric() || first == b'_' || first >= 0x80;
                if !in_word && seen_word {
                    break;
                }
                seen_word |= in_word;
            }
            let before = self.line_width();
            self.input.truncate(self.input.len() - last.len());
            self.tail -= last.len();
            if t.l(ECHO) {
                self.echo_erased(c, first, before, kill || word);
            }
            if !kill && !word {
                break;
            }
        }
        if self.tail == 0 && t.l(ECHO) {
            self.finish_erasing();
        }
    }

    fn echo_erased(&mut self, c: u8, erased: u8, before: usize, many: bool) {
        let t = self.termios;
        if t.l(ECHOPRT) {
            if !self.erasing {
                self.raw(b"\\");
                self.erasing = true;
            }
            self.echo(erased);
        } else if !many && !t.l(ECHOE) {
            let _ = c;
            self.echo(t.char(VERASE));
        } else {
            let gone = before.saturating_sub(self.line_width());
            for _ in 0..gone {
                if erased == b'\t' {
                    self.raw(b"\x08");
                } else {
                    self.raw(b"\x08 \x08");
                }
                self.column = self.column.saturating_sub(1);
            }
        }
    }

    fn finish_erasing(&mut self) {
        if std::mem::take(&mut self.erasing) {
            self.raw(b"/");
        }
    }

    /// Column behind the line being edited, as it was echoed.
    fn line_width(&self) -> usize {
        let t = &self.termios;
        let mut column = self.line_column;
        for &cell in self.input.iter().skip(self.input.len() - self.tail) {
            let c = byte(cell);
            column += match c {
                b'\t' => 8 - column % 8,
                c if c.is_ascii_control() => 2 * usize::from(t.l(ECHOCTL)),
                c if t.i(IUTF8) && c & 0xc0 == 0x80 => 0,
                _ => 1,
            };
        }
        column
    }

    /// Echoes a character, control characters as `^X`.
    fn echo(&mut self, c: u8) {
        if self.termios.l(ECHOCTL) && c.is_ascii_control() && c != b'\t' {
            self.raw(&[b'^', c ^ 0x40]);
            self.column += 2;
        } else {
            self.put(c);
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        // Echo cannot wait: beyond all measure it is lost.
        if self.output.len() < OUTPUT_MAX * 2 {
            self.output.extend(bytes);
        }
    }

    /// One character through output processing.
    fn put(&mut self, c: u8) {
        let t = self.termios;
        if !t.o(OPOST) {
            self.raw(&[c]);
            return;
        }
        match c {
            b'\n' => {
                if t.o(ONLRET) {
                    self.column = 0;
                }
                if t.o(ONLCR) {
                    self.column = 0;
                    self.raw(b"\r\n");
                    return;
                }
            }
            b'\r' => {
                if t.o(ONOCR) && self.column == 0 {
                    return;
                }
                if t.o(OCRNL) {
                    if t.o(ONLRET) {
                        self.column = 0;
                    }
                    self.raw(b"\n");
                    return;
                }
                self.column = 0;
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                self.column += spaces;
                if t.oflag & TABDLY == XTABS {
                    self.raw(b"        ".get(..spaces).unwrap_or_default());
                    return;
                }
            }
            0x08 => self.column = self.column.saturating_sub(1),
            _ => {
                let c = if t.o(OLCUC) { c.to_ascii_uppercase() } else { c };
                if !c.is_ascii_control() && !(t.i(IUTF8) && c & 0xc0 == 0x80) {
                    self.column += 1;
                }
                self.raw(&[c]);
                return;
            }
        }
        self.raw(&[c]);
    }

    /// Takes what the slave writes; gives how many bytes.
    pub(super) fn write(&mut self, data: &[u8]) -> usize {
        if self.stopped {
            return 0;
        }
        for (i, &c) in data.iter().enumerate() {
            if self.output.len() >= OUTPUT_MAX {
                return i;
            }
            self.put(c);
        }
        data.len()
    }

    /// The slave can write.
    pub(super) fn can_write(&self) -> bool {
        !self.stopped && self.output.len() < OUTPUT_MAX
    }

    /// Bytes that a read of the slave gives: none in the middle of a line.
    pub(super) fn available(&self) -> Option<usize> {
        if self.termios.l(ICANON) {
            (self.lines > 0).then_some(self.input.len() - self.tail)
        } else {
            (!self.input.is_empty()).then_some(self.input.len())
        }
    }

    /// Reads up to `max` bytes: in canonical mode of one line. None if there is nothing to read; an empty answer is the end
    /// of file.
    pub(super) fn read(&mut self, max: usize) -> Option<Vec<u8>> {
        self.available()?;
        let canonical = self.termios.l(ICANON);
        let mut out = Vec::new();
        while out.len() < max {
            let Some(cell) = self.input.pop_front() else { break };
            if cell & DELIM != 0 {
                self.lines -= 1;
            }
            if cell & EOF == 0 {
                out.push(byte(cell));
            } else if !canonical {
                out.push(self.termios.char(VEOF));
            }
            if canonical && cell & DELIM != 0 {
                return Some(out);
            }
        }
        // The line end right behind goes along if it is no character of its own.
        if canonical && self.input.front().is_some_and(|c| c & EOF != 0) {
            self.input.pop_front();
            self.lines -= 1;
        }
        self.tail = self.tail.min(self.input.len());
        Some(out)
    }

    /// Forgets input (`TCIFLUSH`).
    pub(super) fn flush_input(&mut self) {
        self.input.clear();
        self.lines = 0;
        self.tail = 0;
        self.lnext = false;
        self.erasing = false;
    }

    /// New settings. What was typed in the other mode becomes readable.
    pub(super) fn set_termios(&mut self, termios: Termios) {
        let was = self.termios.l(ICANON);
        self.termios = termios;
        let is = termios.l(ICANON);
        if was && !is {
            self.tail = 0;
        } else if !was && is {
            self.tail = 0;
            if let Some(last) = self.input.back_mut()
                && *last & DELIM == 0
            {
                *last |= DELIM;
                self.lines += 1;
            }
        }
        if !termios.i(IXON) {
            self.stopped = false;
        }
    }
}

#[cfg(test)]
#[path = "ldisc_tests.rs"]
mod tests;
