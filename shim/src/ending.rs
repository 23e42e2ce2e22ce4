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

    /// The first that is told counts.
    pub fn set(&self, code: u32) -> Exit {
        let mut known = lock(&self.exit);
        let exit = *known.get_or_insert(Exit {
            code,
            at: SystemTime::now(),
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_hears_of_the_first_end() {
        let ending = std::sync::Arc::new(Ending::default());
        let waiter = ending.clone();
        let waiter = std::thread::spawn(move || waiter.wait().code);
        assert_eq!(ending.set(7).code, 7);
        assert_eq!(ending.set(255).code, 7);
        assert_eq!(waiter.join().unwrap(), 7);
    }
}
