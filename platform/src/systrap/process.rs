//! A guest process: its channel area, its slots and its memory.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::hub::Hub;
use crate::guest::layout::{Control, SLOT_BYTES, SLOTS};
use crate::guest::process::HostProcess;
use crate::host::notify::Answer;
use crate::host::process;
use crate::host::shared::SharedMap;

/// A host process that is a guest address space.
pub(super) struct Process {
    pub(super) hub: Weak<Hub>,
    pub(super) host: Arc<HostProcess>,
    pub(super) channel: SharedMap,
    slots: Mutex<Slots>,
}

struct Slots {
    /// No higher slot was ever used.
    next: u32,
    /// Slots of retired threads, with their ids: free once the thread is really gone.
    free: VecDeque<(u32, i32)>,
    /// The slot of the thread that the process began with, if not free.
    first: u32,
}

impl Process {
    pub(super) fn new(hub: &Arc<Hub>, pid: i32, channel: SharedMap, slot: u32) -> Arc<Process> {
        Arc::new(Process {
            hub: Arc::downgrade(hub),
            host: HostProcess::new(pid, hub.proc_fd.clone()),
            channel,
            slots: Mutex::new(Slots {
                next: 0,
                free: VecDeque::new(),
                first: slot,
            }),
        })
    }

    /// Answers a notification of one of its threads.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        if let Some(hub) = self.hub.upgrade() {
            let _ = hub.listener.send(id, answer);
        }
    }

    /// As [`Process::answer`], on another core if there is a free one: this one goes on running.
    pub(super) fn answer_elsewhere(&self, id: u64) {
        if let Some(hub) = self.hub.upgrade() {
            let _ = hub.listener.set_sync_wake_up(false);
            let _ = hub.listener.send(id, Answer::Zero);
            let _ = hub.listener.set_sync_wake_up(true);
        }
    }

    /// Answers whose orders the thread in that slot has carried out, as it says.
    pub(super) fn answers_done(&self, slot: u32) -> u64 {
        let base = abi::conv::size(u64::from(slot).saturating_mul(SLOT_BYTES));
        self.channel
            .read_u64(base.saturating_add(std::mem::offset_of!(Control, done)))
    }

    /// A slot that no thread uses.
    pub(super) fn take_slot(&self) -> Option<u32> {
        let mut slots = self.slots.lock();
        if let Some(&(slot, tid)) = slots.free.front() {
            let running = self.host.with_alive(|pid| process::tgkill(pid, tid, 0).is_ok());
            if running == Some(false) {
                slots.free.pop_front();
                if let Some(hub) = self.hub.upgrade() {
                    hub.threads.lock().remove(&tid);
                }
                return Some(slot);
            }
        }
        if slots.next == slots.first {
            slots.next += 1;
        }
        let slot = slots.next;
        if u64::from(slot) >= SLOTS {
            return None;
        }
        slots.next += 1;
        Some(slot)
    }

    /// A retired thread's slot.
    pub(super) fn give_slot(&self, slot: u32, tid: i32) {
        if tid != self.host.pid {
            self.slots.lock().free.push_back((slot, tid));
        }
    }

    /// A slot that was never used after all.
    pub(super) fn return_slot(&self, slot: u32) {
        self.slots.lock().free.push_front((slot, i32::MAX));
    }
}
