//! Terminals (`termios(3)`, `ioctl_tty(2)`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kernel's `struct termios`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termios {
    /// Input modes.
    pub iflag: u32,
    /// Output modes.
    pub oflag: u32,
    /// Control modes.
    pub cflag: u32,
    /// Local modes.
    pub lflag: u32,
    /// Line discipline.
    pub line: u8,
    /// Special characters.
    pub cc: [u8; 19],
}

/// `struct termios2`
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termios2 {
    /// All but the speeds.
    pub base: Termios,
    /// Input speed.
    pub ispeed: u32,
    /// Output speed.
    pub ospeed: u32,
}

/// `struct termio` of System V.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termio {
    /// Input modes, low half.
    pub iflag: u16,
    /// Output modes, low half.
    pub oflag: u16,
    /// Control modes, low half.
    pub cflag: u16,
    /// Local modes, low half.
    pub lflag: u16,
    /// Line discipline.
    pub line: u8,
    /// Special characters.
    pub cc: [u8; 8],
    /// Unused.
    pub pad: u8,
}

/// `struct winsize`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Winsize {
    /// Rows.
    pub row: u16,
    /// Columns.
    pub col: u16,
    /// Pixels.
    pub xpixel: u16,
    /// Pixels.
    pub ypixel: u16,
}

macro_rules! flags {
    ($($name:ident = $value:literal),* $(,)?) => {
        $(#[allow(missing_docs, reason = "termios(3) documents each name")] pub const $name: u32 = $value;)*
    };
}

flags! {
    IGNBRK = 0o1, BRKINT = 0o2, IGNPAR = 0o4, PARMRK = 0o10, INPCK = 0o20, ISTRIP = 0o40, INLCR = 0o100,
    IGNCR = 0o200, ICRNL = 0o400, IUCLC = 0o1000, IXON = 0o2000, IXANY = 0o4000, IXOFF = 0o10000, IMAXBEL = 0o20000,
    IUTF8 = 0o40000,
    OPOST = 0o1, OLCUC = 0o2, ONLCR = 0o4, OCRNL = 0o10, ONOCR = 0o20, ONLRET = 0o40, TABDLY = 0o14000,
    XTABS = 0o14000,
    ISIG = 0o1, ICANON = 0o2, ECHO = 0o10, ECHOE = 0o20, ECHOK = 0o40, ECHONL = 0o100, NOFLSH = 0o200,
    TOSTOP = 0o400, ECHOCTL = 0o1000, ECHOPRT = 0o2000, ECHOKE = 0o4000, IEXTEN = 0o100000,
}

macro_rules! chars {
    ($($name:ident = $value:literal),* $(,)?) => {
        $(#[allow(missing_docs, reason = "termios(3) documents each name")] pub const $name: usize = $value;)*
    };
}

chars! {
    VINTR = 0, VQUIT = 1, VERASE = 2, VKILL = 3, VEOF = 4, VTIME = 5, VMIN = 6, VSTART = 8, VSTOP = 9, VSUSP = 10,
    VEOL = 11, VREPRINT = 12, VDISCARD = 13, VWERASE = 14, VLNEXT = 15, VEOL2 = 16,
}

impl Default for Termios {
    /// `tty_std_termios` as `pty` changes it.
    fn default() -> Self {
        let mut cc = [0u8; 19];
        cc[..17].copy_from_slice(&[
            0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0,
        ]);
        Termios {
            iflag: ICRNL | IXON,
            oflag: OPOST | ONLCR,
            // B38400 | CS8 | CREAD
            cflag: 0o17 | 0o60 | 0o200,
            lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            line: 0,
            cc,
        }
    }
}

impl Termios {
    /// An input mode is on.
    pub const fn i(&self, flag: u32) -> bool {
        self.iflag & flag != 0
    }

    /// An output mode is on.
    pub const fn o(&self, flag: u32) -> bool {
        self.oflag & flag != 0
    }

    /// A local mode is on.
    pub const fn l(&self, flag: u32) -> bool {
        self.lflag & flag != 0
    }

    /// True if `c` is that special character; 0 disables one.
    pub fn is(&self, which: usize, c: u8) -> bool {
        self.cc.get(which).is_some_and(|&k| k != 0 && k == c)
    }

    /// A special character or count.
    pub fn char(&self, which: usize) -> u8 {
        self.cc.get(which).copied().unwrap_or(0)
    }
}
