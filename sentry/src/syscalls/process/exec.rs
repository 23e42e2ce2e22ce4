//! `execve(2)`

use abi::{Errno, SysResult};

use crate::loader;
use crate::task::{self, Cx};
use crate::usermem::UserAddr;

/// `execve(2)`
pub(in crate::syscalls) async fn sys_execve(
    cx: &mut Cx,
    path: UserAddr,
    argv: UserAddr,
    envp: UserAddr,
) -> SysResult<u64> {
    let path = cx.read_path(path)?;
    if path.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let file = crate::fs::open_exec(&cx.task, &path)?;
    do_exec(cx, file, &path, argv, envp).await
}

/// `execveat(2)`
pub(in crate::syscalls) async fn sys_execveat(
    cx: &mut Cx,
    dirfd: i32,
    path: UserAddr,
    argv: UserAddr,
    envp: UserAddr,
    flags: i32,
) -> SysResult<u64> {
    const AT_SYMLINK_NOFOLLOW: i32 = 0x100;
    const AT_EMPTY_PATH: i32 = 0x1000;
    const AT_FDCWD: i32 = -100;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = cx.read_path(path)?;
    if path.is_empty() && flags & AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT.into());
    }
    let file = crate::fs::open_exec_at(&cx.task, dirfd, &path, crate::fs::namei::Lookup::from_at(flags))?;
    let name = if path.starts_with(b"/") || dirfd == AT_FDCWD {
        path
    } else if path.is_empty() {
        format!("/dev/fd/{dirfd}").into_bytes()
    } else {
        [format!("/dev/fd/{dirfd}/").as_bytes(), &path].concat()
    };
    do_exec(cx, file, &name, argv, envp).await
}

async fn do_exec(
    cx: &mut Cx,
    file: std::sync::Arc<crate::fs::File>,
    name: &[u8],
    argv: UserAddr,
    envp: UserAddr,
) -> SysResult<u64> {
    let argv = read_strings(cx, argv)?;
    let envp = read_strings(cx, envp)?;
    task::exec::exec(cx, file, name, argv, envp).await?;
    Ok(0)
}

/// An array of string pointers that ends with `NULL`; `NULL` itself is an empty one.
fn read_strings(cx: &Cx, addr: UserAddr) -> abi::errno::Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if addr.is_null() {
        return Ok(strings);
    }
    let mut total = 0usize;
    let mut at = addr;
    loop {
        let pointer: u64 = cx.read_obj(at)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = match cx.read_cstr(UserAddr(pointer), loader::MAX_ARG_STRLEN) {
            Err(Errno::ENAMETOOLONG) => return Err(Errno::E2BIG),
            other => other?,
        };
        total = total.saturating_add(string.len() + 9);
        if total > loader::ARG_MAX {
            return Err(Errno::E2BIG);
        }
        strings.push(string);
        at = at.add(8)?;
    }
}
