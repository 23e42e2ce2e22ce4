//! Making file systems step by step: `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`, `fspick(2)`.

use std::any::Any;
use std::sync::Arc;

use abi::{Errno, SysResult};

use super::{find_type, make_super, may_mount};
use crate::fs::mount::{Mount, too_revealing};
use crate::fs::namei::{Lookup, anon_file, lookup};
use crate::fs::{File, FileOps, FsType, OpenFlags, SuperBlock};
use crate::sync::Mutex;
use crate::task::Cx;
use crate::usermem::UserAddr;

/// What an fd of `fsopen` is in the middle of.
enum Phase {
    /// Options are being set.
    Open,
    /// The file system is there and can be mounted once.
    Created(Arc<SuperBlock>),
    /// `fspick`: options for one that is mounted.
    Picked(Arc<SuperBlock>),
    /// Something failed or all is done.
    Over,
}

struct Context {
    fstype: Option<&'static dyn FsType>,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    source: Vec<u8>,
    data: Vec<u8>,
    readonly: bool,
}

impl FileOps for Context {
    fn read(&self, _: &File, _: &mut dyn crate::fs::Sink, _: u64) -> abi::errno::Result<usize> {
        // The log of messages is empty.
        Err(Errno::ENODATA)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn new_fd(cx: &Cx, fstype: Option<&'static dyn FsType>, phase: Phase, cloexec: bool) -> SysResult<u64> {
    let ops = Arc::new(Context {
        fstype,
        state: Mutex::new(State {
            phase,
            source: b"none".to_vec(),
            data: Vec::new(),
            readonly: false,
        }),
    });
    let file = anon_file(&cx.task.kernel, "[fscontext]", ops, OpenFlags::RDWR);
    let fd = cx.task.files().add(file, cloexec, cx.task.fd_limit())?;
    Ok(u64::from(fd.cast_unsigned()))
}

/// `fsopen(2)`
pub(in super::super) fn sys_fsopen(cx: &mut Cx, fsname: UserAddr, flags: u32) -> SysResult<u64> {
    may_mount(cx)?;
    if flags & !1 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = cx.read_cstr(fsname, 4096)?;
    let fstype = find_type(cx, &name)?;
    new_fd(cx, Some(fstype), Phase::Open, flags & 1 != 0)
}

/// `fspick(2)`
pub(in super::super) fn sys_fspick(cx: &mut Cx, dirfd: i32, path: UserAddr, flags: u32) -> SysResult<u64> {
    may_mount(cx)?;
    if flags & !0xf != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut how = Lookup::empty();
    how.set(Lookup::FOLLOW, flags & 2 == 0);
    how.set(Lookup::EMPTY, flags & 8 != 0);
    let path = cx.read_path(path)?;
    let place = lookup(&cx.task, dirfd, &path, how)?;
    if !place.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    new_fd(cx, None, Phase::Picked(place.mnt.sb.clone()), flags & 1 != 0)
}

/// `fsconfig(2)`
pub(in super::super) fn sys_fsconfig(
    cx: &mut Cx,
    fd: i32,
    cmd: u32,
    key: UserAddr,
    value: UserAddr,
    aux: i32,
) -> SysResult<u64> {
    const SET_FLAG: u32 = 0;
    const SET_STRING: u32 = 1;
    const CMD_CREATE: u32 = 6;
    const CMD_RECONFIGURE: u32 = 7;
    const CMD_CREATE_EXCL: u32 = 8;
    let file = cx.task.files().get(fd)?;
    let context = file.downcast::<Context>().ok_or(Errno::EINVAL)?;
    let valid = match cmd {
        SET_FLAG => !key.is_null() && value.is_null() && aux == 0,
        SET_STRING => !key.is_null() && !value.is_null() && aux == 0,
        CMD_CREATE | CMD_RECONFIGURE | CMD_CREATE_EXCL => key.is_null() && value.is_null() && aux == 0,
        2..=5 => {
            return Err(cx
                .task
                .kernel
                .counters
                .missing("fsconfig", u64::from(cmd), Errno::EOPNOTSUPP)
                .into());
        }
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    if !valid {
        return Err(Errno::EINVAL.into());
    }
    match cmd {
        SET_FLAG | SET_STRING => {
            let key = cx.read_cstr(key, 256)?;
            let value = if cmd == SET_STRING {
                Some(cx.read_cstr(value, 256)?)
            } else {
                None
            };
            set(&mut context.state.lock(), &key, value)
        }
        CMD_RECONFIGURE => {
            let state = context.state.lock();
            let Phase::Picked(sb) = &state.phase else {
                return Err(Errno::EBUSY.into());
            };
            super::may_administer(cx, sb)?;
            sb.ops.remount(&state.data)?;
            Ok(0)
        }
        _ => create(cx, context),
    }
}

fn set(state: &mut State, key: &[u8], value: Option<Vec<u8>>) -> SysResult<u64> {
    if !matches!(state.phase, Phase::Open | Phase::Picked(_)) {
        return Err(Errno::EBUSY.into());
    }
    match (key, value) {
        (b"source", Some(value)) => state.source = value,
        (b"ro", None) => state.readonly = true,
        (b"rw", None) => state.readonly = false,
        (key, value) => {
            if state.data.len() + key.len() > 4096 {
                return Err(Errno::EINVAL.into());
            }
            if !state.data.is_empty() {
                state.data.push(b',');
            }
            state.data.extend_from_slice(key);
            if let Some(value) = value {
                state.data.push(b'=');
                state.data.extend_from_slice(&value);
            }
        }
    }
    Ok(0)
}

fn create(cx: &Cx, context: &Context) -> SysResult<u64> {
    may_mount(cx)?;
    let mut state = context.state.lock();
    let (Phase::Open, Some(fstype)) = (&state.phase, context.fstype) else {
        return Err(Errno::EBUSY.into());
    };
    match make_super(cx, fstype, &state.source, &state.data, 0) {
        Ok(sb) => {
            sb.readonly.store(state.readonly, std::sync::atomic::Ordering::Relaxed);
            state.phase = Phase::Created(sb);
            Ok(0)
        }
        Err(e) => {
            state.phase = Phase::Over;
            Err(e)
        }
    }
}

/// `fsmount(2)`
pub(in super::super) fn sys_fsmount(cx: &mut Cx, fd: i32, flags: u32, attr_flags: u32) -> SysResult<u64> {
    let ns = may_mount(cx)?;
    if flags & !1 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let attr = super::detached::flags_of(u64::from(attr_flags))?;
    let file = cx.task.files().get(fd)?;
    let context = file.downcast::<Context>().ok_or(Errno::EINVAL)?;
    let mut state = context.state.lock();
    let Phase::Created(sb) = &state.phase else {
        return Err(Errno::EINVAL.into());
    };
    let mounts = &cx.task.kernel.vfs.mounts;
    let mount = Mount::new(mounts, sb.clone(), sb.root_dentry()?, attr, &state.source);
    if too_revealing(&ns, &mount) {
        return Err(Errno::EPERM.into());
    }
    state.phase = Phase::Over;
    drop(state);
    super::detached::place_fd(cx, mount.root_path(), flags & 1 != 0)
}
