//! Message queues (`msgop(2)`).

use std::collections::VecDeque;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;
use abi::ipc::MsqidDs;

use super::{Object, Perm, now};
use crate::cred::Cred;
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Positive.
    pub kind: i64,
    /// What was sent.
    pub data: Vec<u8>,
}

/// What changes of a queue.
pub struct State {
    /// Owner and permissions.
    pub perm: Perm,
    messages: VecDeque<Message>,
    /// Bytes in it.
    pub bytes: u64,
    /// Bytes that fit.
    pub qbytes: u64,
    /// Last send.
    pub stime: i64,
    /// Last receive.
    pub rtime: i64,
    /// Last change.
    pub ctime: i64,
    /// Last sender.
    pub lspid: i32,
    /// Last receiver.
    pub lrpid: i32,
    /// `IPC_RMID`: waiting calls end with `EIDRM`.
    pub removed: bool,
}

/// A queue.
pub struct Queue {
    /// Its state.
    pub state: Mutex<State>,
    /// Woken with `READ` by a message, with `WRITE` by room.
    pub queue: Arc<WaitQueue>,
}

impl Object for Arc<Queue> {
    fn perm(&self) -> Perm {
        self.state.lock().perm.clone()
    }
}

impl Queue {
    /// Empty, with room for so many bytes.
    pub fn new(perm: Perm, qbytes: u64) -> Arc<Queue> {
        Arc::new(Queue {
            state: Mutex::new(State {
                perm,
                messages: VecDeque::new(),
                bytes: 0,
                qbytes,
                stime: 0,
                rtime: 0,
                ctime: now(),
                lspid: 0,
                lrpid: 0,
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

/// Which message a receiver wants.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// The first.
    Any,
    /// The first of that type.
    Type(i64),
    /// The first of any other type (`MSG_EXCEPT`).
    Not(i64),
    /// The first of the lowest type up to that.
    UpTo(i64),
    /// The one at that place, left there (`MSG_COPY`).
    Copy(usize),
}

impl State {
    /// Messages in it.
    pub fn count(&self) -> u64 {
        abi::conv::usize64(self.messages.len())
    }

    /// True if a message of that length fits.
    pub fn has_room(&self, len: u64) -> bool {
        self.bytes.saturating_add(len) <= self.qbytes && self.count() < self.qbytes
    }

    /// Adds a message that fits.
    pub fn push(&mut self, message: Message, pid: i32) {
        self.bytes = self.bytes.saturating_add(abi::conv::usize64(message.data.len()));
        self.messages.push_back(message);
        self.stime = now();
        self.lspid = pid;
    }

    /// Takes the wanted message; none if it is not there. `E2BIG` if it is longer than `max` and may not be cut: it stays.
    pub fn take(&mut self, want: Want, max: usize, cut: bool, pid: i32) -> Result<Option<Message>> {
        let at = match want {
            Want::Any => (!self.messages.is_empty()).then_some(0),
            Want::Type(kind) => self.messages.iter().position(|m| m.kind == kind),
            Want::Not(kind) => self.messages.iter().position(|m| m.kind != kind),
            Want::UpTo(kind) => {
                let lowest = self.messages.iter().map(|m| m.kind).filter(|&k| k <= kind).min();
                lowest.and_then(|k| self.messages.iter().position(|m| m.kind == k))
            }
            Want::Copy(at) => (at < self.messages.len()).then_some(at),
        };
        let Some(message) = at.and_then(|at| self.messages.get(at)) else {
            return Ok(None);
        };
        if message.data.len() > max && !cut {
            return Err(Errno::E2BIG);
        }
        if let Want::Copy(_) = want {
            return Ok(Some(message.clone()));
        }
        let message = at.and_then(|at| self.messages.remove(at));
        if let Some(message) = &message {
            self.bytes = self.bytes.saturating_sub(abi::conv::usize64(message.data.len()));
            self.rtime = now();
            self.lrpid = pid;
        }
        Ok(message)
    }

    /// For `IPC_STAT`.
    pub fn show(&self, id: i32, cred: &Cred) -> MsqidDs {
        MsqidDs {
            perm: self.perm.show(id, cred),
            stime: self.stime,
            rtime: self.rtime,
            ctime: self.ctime,
            cbytes: self.bytes,
            qnum: self.count(),
            qbytes: self.qbytes,
            lspid: self.lspid,
            lrpid: self.lrpid,
            ..MsqidDs::default()
        }
    }
}
