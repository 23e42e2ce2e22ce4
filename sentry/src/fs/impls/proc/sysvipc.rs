//! `/proc/sysvipc`

use std::fmt::Write;
use std::sync::Arc;

use crate::fs::impls::pseudo::DirBuilder;
use crate::ipc::IpcNamespace;
use crate::ipc::sysv::Perm;
use crate::ipc::sysv::shm::SHM_DEST;
use crate::kernel::Kernel;

/// The namespace of the reader.
pub(super) fn reader_ipc(kernel: &Kernel) -> Arc<IpcNamespace> {
    crate::task::current().map_or_else(|| kernel.ipc.root_ns.clone(), |t| t.ipc())
}

fn owner(perm: &Perm) -> String {
    format!("{:5} {:5} {:5} {:5}", perm.uid, perm.gid, perm.cuid, perm.cgid)
}

pub(super) fn fill(dir: &mut DirBuilder<'_>, kernel: &Arc<Kernel>) {
    let k = kernel.clone();
    dir.text("shm", move || {
        let mut out = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      \
                       dtime      ctime                   rss                  swap\n"
            .to_owned();
        let ns = reader_ipc(&k);
        let mut table = ns.sysv.shm.lock();
        table.purge();
        for (id, s) in table.iter() {
            let _ = writeln!(
                out,
                "{:10} {id:10}  {:4o} {:21} {:5} {:5}  {:5} {} {:10} {:10} {:10} {:21} {:21}",
                s.perm.key,
                s.perm.mode & (0o777 | SHM_DEST),
                s.size,
                s.cpid,
                s.lpid,
                s.attached(),
                owner(&s.perm),
                s.atime,
                s.dtime,
                s.ctime,
                0,
                0
            );
        }
        Ok(out)
    });
    let k = kernel.clone();
    dir.text("sem", move || {
        let mut out =
            "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n".to_owned();
        let ns = reader_ipc(&k);
        for (id, set) in ns.sysv.sem.lock().iter() {
            let s = set.state.lock();
            let _ = writeln!(
                out,
                "{:10} {id:10}  {:4o} {:10} {} {:10} {:10}",
                s.perm.key,
                s.perm.mode,
                s.sems.len(),
                owner(&s.perm),
                s.otime,
                s.ctime
            );
        }
        Ok(out)
    });
    let k = kernel.clone();
    dir.text("msg", move || {
        let mut out =
            "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      \
                       rtime      ctime\n"
                .to_owned();
        let ns = reader_ipc(&k);
        for (id, queue) in ns.sysv.msg.lock().iter() {
            let s = queue.state.lock();
            let _ = writeln!(
                out,
                "{:10} {id:10}  {:4o}  {:10} {:10} {:5} {:5} {} {:10} {:10} {:10}",
                s.perm.key,
                s.perm.mode,
                s.bytes,
                s.count(),
                s.lspid,
                s.lrpid,
                owner(&s.perm),
                s.stime,
                s.rtime,
                s.ctime
            );
        }
        Ok(out)
    });
}
