//! Timers as files (`timerfd_create(2)`).

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::clock::{Clock, TimeSource};
use super::timer::{Setting, Target, Timer};
use crate::fs::io::Sink;
use crate::fs::{File, FileOps};
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};

struct Ticks {
    count: Mutex<u64>,
    queue: Arc<WaitQueue>,
}

impl Target for Ticks {
    fn expired(&self, count: u64) {
        let mut ticks = self.count.lock();
        *ticks = ticks.saturating_add(count);
        drop(ticks);
        self.queue.wake(Events::READ);
    }
}

/// An open timerfd.
pub struct TimerFd {
    clock: Clock,
    timer: Arc<Timer<Ticks>>,
    /// `TFD_TIMER_ABSTIME`, `TFD_TIMER_CANCEL_ON_SET` of the last setting, for fdinfo.
    flags: Mutex<i32>,
}

impl TimerFd {
    /// Disarmed.
    pub fn new(kernel: &Kernel, clock: Clock, source: TimeSource) -> Arc<TimerFd> {
        let ticks = Ticks {
            count: Mutex::new(0),
            queue: Arc::new(WaitQueue::new()),
        };
        Arc::new(TimerFd {
            clock,
            timer: Timer::new(kernel, source, ticks),
            flags: Mutex::new(0),
        })
    }

    /// `timerfd_settime(2)`: gives the time that was left and the old period. What has not been read is forgotten.
    pub fn set(&self, at: Option<u64>, relative: bool, interval: u64, flags: i32) -> (u64, u64) {
        let now = self.timer.now();
        let old = self.timer.set(Setting::default());
        *self.timer.target.count.lock() = 0;
        *self.flags.lock() = flags;
        let at = at.map(|at| if relative { now.saturating_add(at) } else { at });
        self.timer.set(Setting { at, interval });
        old
    }

    /// Its clock.
    pub fn source(&self) -> &TimeSource {
        self.timer.source()
    }

    /// Time left and period.
    pub fn get(&self) -> (u64, u64) {
        self.timer.look();
        self.timer.get()
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        self.timer.stop();
    }
}

impl FileOps for TimerFd {
    fn read(&self, _file: &File, dst: &mut dyn Sink, _pos: u64) -> Result<usize> {
        if dst.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        self.timer.look();
        let ticks = std::mem::take(&mut *self.timer.target.count.lock());
        if ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        dst.put(&ticks.to_ne_bytes())
    }

    fn poll(&self, _file: &File) -> Events {
        self.timer.look();
        if *self.timer.target.count.lock() > 0 {
            Events::READ
        } else {
            Events::empty()
        }
    }

    fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        Some(&self.timer.target.queue)
    }

    fn fdinfo(&self, _file: &File) -> String {
        let (left, interval) = self.timer.get();
        let show = |ns: u64| format!("({}, {})", ns / 1_000_000_000, ns % 1_000_000_000);
        let clock = match self.clock {
            Clock::Realtime => 0,
            Clock::Boottime => 7,
            Clock::RealtimeAlarm => 8,
            Clock::BoottimeAlarm => 9,
            _ => 1,
        };
        format!(
            "clockid: {clock}\nticks: {}\nsettime flags: 0{:o}\nit_value: {}\nit_interval: {}\n",
            *self.timer.target.count.lock(),
            *self.flags.lock(),
            show(left),
            show(interval),
        )
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
