//! `seccomp(2)`

use abi::{Errno, SysResult};
use zerocopy::IntoBytes;

use crate::cred::cap;
use crate::fs::OpenFlags;
use crate::fs::namei::anon_file;
use crate::task::Cx;
use crate::task::seccomp::{Insn, MAX_INSNS, Program, SIZES, action};
use crate::usermem::UserAddr;

const FLAG_TSYNC: u32 = 1;
const FLAG_LOG: u32 = 2;
const FLAG_SPEC_ALLOW: u32 = 4;
const FLAG_NEW_LISTENER: u32 = 8;
const FLAG_TSYNC_ESRCH: u32 = 16;
const FLAG_WAIT_KILLABLE_RECV: u32 = 32;

/// `seccomp(2)`
pub(super) fn sys_seccomp(cx: &mut Cx, operation: u32, flags: u32, args: UserAddr) -> SysResult<u64> {
    match operation {
        0 => {
            if flags != 0 || !args.is_null() {
                return Err(Errno::EINVAL.into());
            }
            cx.task.seccomp_strict()?;
            Ok(0)
        }
        1 => set_filter(cx, flags, args),
        2 => {
            if flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            let wanted: u32 = cx.read_obj(args)?;
            match wanted {
                action::KILL_PROCESS
                | action::KILL_THREAD
                | action::TRAP
                | action::ERRNO
                | action::TRACE
                | action::LOG
                | action::USER_NOTIF
                | action::ALLOW => Ok(0),
                _ => Err(Errno::EOPNOTSUPP.into()),
            }
        }
        3 => {
            if flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            cx.write_obj(args, &SIZES)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `PR_GET_SECCOMP` and `PR_SET_SECCOMP`
pub(super) fn prctl(cx: &mut Cx, option: i32, mode: u64, filter: UserAddr) -> SysResult<u64> {
    if option == 21 {
        return Ok(u64::from(cx.task.attr.lock().seccomp.mode()));
    }
    match mode {
        1 => {
            cx.task.seccomp_strict()?;
            Ok(0)
        }
        2 => set_filter(cx, 0, filter),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn set_filter(cx: &mut Cx, flags: u32, args: UserAddr) -> SysResult<u64> {
    const KNOWN: u32 =
        FLAG_TSYNC | FLAG_LOG | FLAG_SPEC_ALLOW | FLAG_NEW_LISTENER | FLAG_TSYNC_ESRCH | FLAG_WAIT_KILLABLE_RECV;
    let listens = flags & FLAG_NEW_LISTENER != 0;
    // Thread id and fd would come back in the same place.
    let ambiguous = listens && flags & (FLAG_TSYNC | FLAG_TSYNC_ESRCH) == FLAG_TSYNC;
    if flags & !KNOWN != 0 || ambiguous || (flags & FLAG_WAIT_KILLABLE_RECV != 0 && !listens) {
        return Err(Errno::EINVAL.into());
    }
    let [len, address]: [u64; 2] = cx.read_obj(args)?;
    let len = usize::from(abi::conv::low16(len));
    if len == 0 || len > MAX_INSNS {
        return Err(Errno::EINVAL.into());
    }
    let cred = cx.task.cred();
    if !cred.no_new_privs && !cred.has_cap(cap::SYS_ADMIN) {
        return Err(Errno::EACCES.into());
    }
    let mut insns = vec![Insn::default(); len];
    cx.read_bytes(UserAddr(address), insns.as_mut_bytes())?;
    let program = Program::new(insns)?;
    let sync = flags & FLAG_TSYNC != 0;
    if listens {
        let files = cx.task.files();
        let reserved = files.reserve(1, cx.task.fd_limit())?;
        let killable = flags & FLAG_WAIT_KILLABLE_RECV != 0;
        let Ok(listener) = cx.task.seccomp_listener(program, sync, killable)? else {
            return Err(Errno::ESRCH.into());
        };
        let file = anon_file(&cx.task.kernel, "seccomp notify", listener, OpenFlags::RDWR);
        let fd = reserved.numbers().first().copied().unwrap_or(-1);
        reserved.commit([file], true);
        return Ok(u64::from(fd.cast_unsigned()));
    }
    match cx.task.seccomp_filter(program, sync)? {
        None => Ok(0),
        Some(_) if flags & FLAG_TSYNC_ESRCH != 0 => Err(Errno::ESRCH.into()),
        Some(tid) => Ok(u64::from(tid.unsigned_abs())),
    }
}
