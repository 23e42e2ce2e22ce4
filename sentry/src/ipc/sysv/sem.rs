//! Semaphore sets (`semop(2)`).

use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use abi::ipc::{IPC_NOWAIT, Sembuf, SemidDs};

use super::{Object, Perm, SysV, now};
use crate::cred::Cred;
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

/// Largest value.
pub const SEMVMX: i32 = 32767;
/// `SEM_UNDO`
pub const SEM_UNDO: i16 = 0x1000;

/// One semaphore.
#[derive(Clone, Copy, Debug, Default)]
pub struct Semaphore {
    /// `GETVAL`
    pub value: i32,
    /// `GETPID`
    pub pid: i32,
    /// Who waits for it to grow (`GETNCNT`).
    pub growing: u32,
    /// Who waits for zero (`GETZCNT`).
    pub zero: u32,
}

/// What changes of a set.
pub struct State {
    /// Owner and permissions.
    pub perm: Perm,
    /// The semaphores.
    pub sems: Vec<Semaphore>,
    /// Last `semop`.
    pub otime: i64,
    /// Last change.
    pub ctime: i64,
    /// What to add for each process that ends (`SEM_UNDO`), by process and semaphore.
    undo: HashMap<i32, HashMap<u16, i32>>,
    /// `IPC_RMID`: waiting calls end with `EIDRM`.
    pub removed: bool,
}

/// A set.
pub struct Set {
    /// Its state.
    pub state: Mutex<State>,
    /// Woken at every change.
    pub queue: Arc<WaitQueue>,
}

impl Object for Arc<Set> {
    fn perm(&self) -> Perm {
        self.state.lock().perm.clone()
    }

    fn weight(&self) -> u64 {
        abi::conv::usize64(self.state.lock().sems.len())
    }
}

/// Why a list of operations cannot be done now.
pub struct Stuck {
    /// The semaphore in the way.
    pub num: u16,
    /// Waits for zero rather than for growth.
    pub zero: bool,
    /// It asked not to wait.
    pub nowait: bool,
}

impl Set {
    /// With all values zero.
    pub fn new(perm: Perm, count: usize) -> Arc<Set> {
        Arc::new(Set {
            state: Mutex::new(State {
                perm,
                sems: vec![Semaphore::default(); count],
                otime: 0,
                ctime: now(),
                undo: HashMap::new(),
                removed: false,
            }),
            queue: Arc::default(),
        })
    }

    /// Wakes everybody who waits, to look again.
    pub fn changed(&self) {
        self.queue.wake(Events::all());
    }
}

impl State {
    /// Does all operations or none. `EFBIG` for a number out of the set, `ERANGE` beyond the largest value.
    pub fn try_ops(&mut self, ops: &[Sembuf], pid: i32) -> Result<std::result::Result<(), Stuck>> {
        let mut values: Vec<i32> = self.sems.iter().map(|s| s.value).collect();
        for op in ops {
            let value = values.get_mut(usize::from(op.num)).ok_or(Errno::EFBIG)?;
            let change = i32::from(op.op);
            let stuck = if change == 0 { *value != 0 } else { *value + change < 0 };
            if stuck {
                return Ok(Err(Stuck {
                    num: op.num,
                    zero: change == 0,
                    nowait: i32::from(op.flags) & IPC_NOWAIT != 0,
                }));
            }
            *value += change;
            if *value > SEMVMX {
                return Err(Errno::ERANGE);
            }
        }
        for op in ops {
            if let Some(sem) = self.sems.get_mut(usize::from(op.num)) {
                sem.pid = pid;
            }
            if op.flags & SEM_UNDO != 0 && op.op != 0 {
                *self.undo.entry(pid).or_default().entry(op.num).or_insert(0) -= i32::from(op.op);
            }
        }
        for (sem, value) in self.sems.iter_mut().zip(values) {
            sem.value = value;
        }
        self.otime = now();
        Ok(Ok(()))
    }

    /// `SETVAL`, `SETALL`: what was to be undone for that semaphore is forgotten.
    pub fn forget_undo(&mut self, num: Option<u16>) {
        match num {
            None => self.undo.clear(),
            Some(num) => {
                for adjustments in self.undo.values_mut() {
                    adjustments.remove(&num);
                }
            }
        }
    }

    /// For `IPC_STAT`.
    pub fn show(&self, id: i32, cred: &Cred) -> SemidDs {
        SemidDs {
            perm: self.perm.show(id, cred),
            otime: self.otime,
            ctime: self.ctime,
            nsems: abi::conv::usize64(self.sems.len()),
            ..SemidDs::default()
        }
    }
}

/// A process has ended: its operations with `SEM_UNDO` are undone. `pid` is its number in the first pid namespace.
pub fn exit_process(sysv: &SysV, pid: i32) {
    let sets: Vec<Arc<Set>> = sysv.sem.lock().iter().map(|(_, s)| s.clone()).collect();
    for set in sets {
        let mut state = set.state.lock();
        let Some(adjustments) = state.undo.remove(&pid) else {
            continue;
        };
        for (num, change) in adjustments {
            if let Some(sem) = state.sems.get_mut(usize::from(num)) {
                sem.value = (sem.value + change).clamp(0, SEMVMX);
                sem.pid = pid;
            }
        }
        state.otime = now();
        drop(state);
        set.changed();
    }
}
