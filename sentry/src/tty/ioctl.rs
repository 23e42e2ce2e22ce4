//! `ioctl_tty(2)`

use std::sync::Arc;

use abi::termios::{Termio, Termios, Termios2, Winsize};
use abi::{Errno, SysResult};
use zerocopy::IntoBytes;

use super::{Tty, job, packet};
use crate::cred::cap;
use crate::fs::{File, FileMode, OpenFlags, Path};
use crate::signal::Signal;
use crate::task::Cx;
use crate::usermem::UserAddr;
use crate::wait::Events;

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCGETA: u32 = 0x5405;
const TCSETA: u32 = 0x5406;
const TCSETAW: u32 = 0x5407;
const TCSETAF: u32 = 0x5408;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCSTI: u32 = 0x5412;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCPKT: u32 = 0x5420;
const TIOCNOTTY: u32 = 0x5422;
const TIOCSETD: u32 = 0x5423;
const TIOCGETD: u32 = 0x5424;
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGDEV: u32 = 0x8004_5432;
const TIOCSIG: u32 = 0x4004_5436;
const TIOCVHANGUP: u32 = 0x5437;
const TIOCGPKT: u32 = 0x8004_5438;
const TIOCGPTLCK: u32 = 0x8004_5439;
const TIOCGEXCL: u32 = 0x8004_5440;
const TIOCGPTPEER: u32 = 0x5441;

/// Of the master: what only it has, then what both have.
pub(super) fn master(tty: &Arc<Tty>, cx: &mut Cx, file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
    let at = UserAddr(arg);
    match cmd {
        TIOCGPTN => cx.write_obj(at, &tty.index)?,
        TIOCSPTLCK => {
            let lock: i32 = cx.read_obj(at)?;
            tty.state.lock().locked = lock != 0;
        }
        TIOCGPTLCK => {
            let locked = i32::from(tty.state.lock().locked);
            cx.write_obj(at, &locked)?;
        }
        TIOCPKT => {
            let on: i32 = cx.read_obj(at)?;
            let mut state = tty.state.lock();
            if on != 0 && !state.packet {
                state.packet_status = 0;
            }
            state.packet = on != 0;
        }
        TIOCGPKT => {
            let on = i32::from(tty.state.lock().packet);
            cx.write_obj(at, &on)?;
        }
        TIOCGPTPEER => return open_peer(tty, cx, file, abi::conv::low32(arg)),
        TIOCSIG => {
            let signal = Signal::new(abi::conv::int(arg)).ok_or(Errno::EINVAL)?;
            let foreground = tty.state.lock().foreground;
            tty.signal_foreground(foreground, signal);
        }
        FIONREAD => {
            let n = tty.state.lock().ldisc.output.len();
            cx.write_obj(at, &i32::try_from(n).unwrap_or(i32::MAX))?;
        }
        TIOCGPGRP => {
            let pgid = job::foreground(tty, &cx.task, true)?;
            cx.write_obj(at, &pgid)?;
        }
        TIOCGSID => {
            let sid = job::session_id(tty, &cx.task, true)?;
            cx.write_obj(at, &sid)?;
        }
        TIOCSCTTY | TIOCNOTTY | TIOCSTI => return Err(Errno::ENOTTY.into()),
        _ => return common(tty, cx, cmd, arg),
    }
    Ok(0)
}

/// Of the slave.
pub(super) fn slave(tty: &Arc<Tty>, cx: &mut Cx, file: &File, cmd: u32, arg: u64) -> SysResult<u64> {
    let at = UserAddr(arg);
    let task = cx.task.clone();
    match cmd {
        TIOCSCTTY => {
            if !file.mode.contains(FileMode::READ) && !task.capable(cap::SYS_ADMIN) {
                return Err(Errno::EPERM.into());
            }
            job::set_controlling(tty, &task, arg == 1)?;
        }
        TIOCNOTTY => job::give_up(tty, &task)?,
        TIOCGPGRP => {
            let pgid = job::foreground(tty, &task, false)?;
            cx.write_obj(at, &pgid)?;
        }
        TIOCGSID => {
            let sid = job::session_id(tty, &task, false)?;
            cx.write_obj(at, &sid)?;
        }
        FIONREAD => {
            let n = tty.state.lock().ldisc.available().unwrap_or(0);
            cx.write_obj(at, &i32::try_from(n).unwrap_or(i32::MAX))?;
        }
        // Typing into the own terminal is how processes escape from `su`: as with dev.tty.legacy_tiocsti=0.
        TIOCSTI if !task.capable(cap::SYS_ADMIN) => return Err(Errno::EIO.into()),
        TIOCSTI => {
            let c: u8 = cx.read_obj(at)?;
            tty.input(&[c]);
        }
        TIOCVHANGUP => {
            if !task.capable(cap::SYS_ADMIN) {
                return Err(Errno::EPERM.into());
            }
            tty.hang_up();
        }
        _ => return common(tty, cx, cmd, arg),
    }
    Ok(0)
}

fn common(tty: &Arc<Tty>, cx: &mut Cx, cmd: u32, arg: u64) -> SysResult<u64> {
    let at = UserAddr(arg);
    let task = cx.task.clone();
    match cmd {
        TCGETS => {
            let termios = tty.state.lock().ldisc.termios;
            cx.write_obj(at, &termios)?;
        }
        TCGETS2 => {
            let base = tty.state.lock().ldisc.termios;
            let speed = 38400;
            let termios = Termios2 {
                base,
                ispeed: speed,
                ospeed: speed,
            };
            cx.write_obj(at, &termios)?;
        }
        TCSETS | TCSETSW | TCSETSF => {
            job::check_set(tty, &task)?;
            let termios: Termios = cx.read_obj(at)?;
            tty.set_termios(termios, cmd == TCSETSF);
        }
        TCSETS2 | TCSETSW2 | TCSETSF2 => {
            job::check_set(tty, &task)?;
            let termios: Termios2 = cx.read_obj(at)?;
            tty.set_termios(termios.base, cmd == TCSETSF2);
        }
        TCGETA => {
            let t = tty.state.lock().ldisc.termios;
            let low = |v: u32| abi::conv::low16(u64::from(v));
            let mut old = Termio {
                iflag: low(t.iflag),
                oflag: low(t.oflag),
                cflag: low(t.cflag),
                lflag: low(t.lflag),
                line: t.line,
                ..Termio::default()
            };
            for (to, from) in old.cc.iter_mut().zip(t.cc) {
                *to = from;
            }
            cx.write_bytes(at, old.as_bytes())?;
        }
        TCSETA | TCSETAW | TCSETAF => {
            job::check_set(tty, &task)?;
            let new: Termio = cx.read_obj(at)?;
            let mut t = tty.state.lock().ldisc.termios;
            let join = |old: u32, new: u16| (old & 0xffff_0000) | u32::from(new);
            t.iflag = join(t.iflag, new.iflag);
            t.oflag = join(t.oflag, new.oflag);
            t.cflag = join(t.cflag, new.cflag);
            t.lflag = join(t.lflag, new.lflag);
            for (to, from) in t.cc.iter_mut().zip(new.cc) {
                *to = from;
            }
            tty.set_termios(t, cmd == TCSETAF);
        }
        // There is no line to break, and output is handed over at once.
        TCSBRK | TCSBRKP => job::check_set(tty, &task)?,
        TCXONC => flow(tty, cx, arg)?,
        TCFLSH => flush(tty, cx, arg)?,
        TIOCEXCL => tty.state.lock().exclusive = true,
        TIOCNXCL => tty.state.lock().exclusive = false,
        TIOCGEXCL => {
            let on = i32::from(tty.state.lock().exclusive);
            cx.write_obj(at, &on)?;
        }
        TIOCSPGRP => {
            let pgid: i32 = cx.read_obj(at)?;
            job::set_foreground(tty, &task, pgid)?;
        }
        TIOCOUTQ => {
            let n = tty.state.lock().ldisc.output.len();
            cx.write_obj(at, &i32::try_from(n).unwrap_or(i32::MAX))?;
        }
        TIOCGWINSZ => {
            let size = tty.state.lock().winsize;
            cx.write_obj(at, &size)?;
        }
        TIOCSWINSZ => {
            let size: Winsize = cx.read_obj(at)?;
            tty.set_winsize(size);
        }
        TIOCGETD => cx.write_obj(at, &0i32)?,
        TIOCSETD => {
            let discipline: i32 = cx.read_obj(at)?;
            if discipline != 0 {
                return Err(Errno::EINVAL.into());
            }
        }
        TIOCGDEV => {
            let dev = abi::conv::low32(crate::task::ControllingTty::device(&**tty));
            cx.write_obj(at, &dev)?;
        }
        _ => {
            let counters = &cx.task.kernel.counters;
            return Err(counters
                .missing("ioctl on a terminal", u64::from(cmd), Errno::ENOTTY)
                .into());
        }
    }
    Ok(0)
}

/// `tcflow(3)`
fn flow(tty: &Arc<Tty>, cx: &mut Cx, arg: u64) -> SysResult<()> {
    job::check_set(tty, &cx.task)?;
    let mut state = tty.state.lock();
    match arg {
        0 => state.ldisc.stopped = true,
        1 => state.ldisc.stopped = false,
        // TCIOFF, TCION: the special characters go to the other side, as if typed there.
        2 | 3 => {
            let which = if arg == 2 {
                abi::termios::VSTOP
            } else {
                abi::termios::VSTART
            };
            let c = state.ldisc.termios.char(which);
            if c != 0 {
                state.ldisc.output.push_back(c);
            }
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    if state.packet && arg < 2 {
        state.packet_status |= if arg == 0 { packet::STOP } else { packet::START };
    }
    drop(state);
    tty.slave_queue.wake(Events::WRITE);
    tty.master_queue.wake(Events::READ | Events::PRI);
    Ok(())
}

/// `tcflush(3)`
fn flush(tty: &Arc<Tty>, cx: &mut Cx, arg: u64) -> SysResult<()> {
    job::check_set(tty, &cx.task)?;
    if arg > 2 {
        return Err(Errno::EINVAL.into());
    }
    let mut state = tty.state.lock();
    if arg != 1 {
        state.ldisc.flush_input();
    }
    if arg != 0 {
        state.ldisc.output.clear();
    }
    if state.packet {
        state.packet_status |= match arg {
            0 => packet::FLUSHREAD,
            1 => packet::FLUSHWRITE,
            _ => packet::FLUSHREAD | packet::FLUSHWRITE,
        };
    }
    drop(state);
    tty.slave_queue.wake(Events::WRITE);
    tty.master_queue.wake(Events::WRITE | Events::PRI);
    Ok(())
}

/// `TIOCGPTPEER`: opens the slave without a path.
fn open_peer(tty: &Arc<Tty>, cx: &mut Cx, file: &File, flags: u32) -> SysResult<u64> {
    let flags = OpenFlags::from_bits_retain(flags);
    let path: Path = crate::fs::impls::devpts::slave_path(file, tty.index).ok_or(Errno::EIO)?;
    let slave = super::open_slave(tty, &cx.task, flags)?;
    let mode = flags.file_mode() & (FileMode::READ | FileMode::WRITE);
    let kept = flags & !(OpenFlags::CLOEXEC | OpenFlags::NOCTTY);
    let peer = File::new(slave, path, mode, kept);
    let fd = cx
        .task
        .files()
        .add(peer, flags.contains(OpenFlags::CLOEXEC), cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}
