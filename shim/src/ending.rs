//! The end of a process, for those that wait for it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::children::lock;

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    pub code: u32,
    pub at: SystemTime,
}

#[derive(Default)]
pub struct Ending {
    exit: Mutex<Option<Exit>>,
    changed: Condvar,
}

impl Ending {
    pub fn get(&self) -> Option<Exit> {
        *lock(&self.exit)
    }

    pub fn set(&self, code: u32) -> Exit {
        let exit = Exit {
            code,
            at: SystemTime::now(),
        };
        *lock(&self.exit) = Some(exit);
        self.changed.notify_all();
        exit
    }

    pub fn wait(&self) -> Exit {
        let mut exit = lock(&self.exit);
        loop {
            match *exit {
                Some(exit) => return exit,
                None => exit = self.changed.wait(exit).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Not longer than that.
    pub fn wait_for(&self, time: Duration) {
        let exit = lock(&self.exit);
        let _ = self.changed.wait_timeout_while(exit, time, |exit| exit.is_none());
    }
}
