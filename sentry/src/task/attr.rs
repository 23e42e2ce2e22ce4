//! Small per-thread settings that only calls read and write.

use super::seccomp::Seccomp;

/// Settings of one thread; a new thread or process starts with a copy, as said at each field.
#[derive(Clone, Debug)]
pub struct TaskAttr {
    /// `set_tid_address(2)`; not inherited.
    pub clear_child_tid: u64,
    /// `set_robust_list(2)`; not inherited.
    pub robust_list: u64,
    /// `PR_SET_PDEATHSIG`; not inherited.
    pub pdeath_signal: i32,
    /// `PR_SET_TIMERSLACK`, nanoseconds.
    pub timer_slack_ns: u64,
    /// Default of `timer_slack_ns`.
    pub timer_slack_default_ns: u64,
    /// `personality(2)`
    pub personality: u32,
    /// Scheduling.
    pub sched: Sched,
    /// `set_mempolicy(2)`
    pub mempolicy: Option<crate::mm::policy::Policy>,
    /// `PR_MCE_KILL`
    pub mce_kill: u32,
    /// `PR_SET_TSC`: 1 enabled.
    pub tsc_mode: u32,
    /// `seccomp(2)`; see `Task::filtered` too.
    pub seccomp: Seccomp,
    /// `PR_SET_THP_DISABLE`
    pub thp_disable: bool,
    /// `PR_SET_IO_FLUSHER`
    pub io_flusher: bool,
}

/// What `sched(7)` keeps for a thread. Stored and checked; the host's scheduler does not hear of it.
#[derive(Clone, Debug)]
pub struct Sched {
    /// `SCHED_*`
    pub policy: i32,
    /// Real-time priority.
    pub priority: i32,
    /// -20..=19
    pub nice: i32,
    /// `SCHED_RESET_ON_FORK`
    pub reset_on_fork: bool,
    /// Allowed processors, 64 to a word.
    pub affinity: Vec<u64>,
    /// `ioprio_set(2)`
    pub ioprio: i32,
    /// `SCHED_DEADLINE`: runtime, deadline, period.
    pub deadline: (u64, u64, u64),
}

impl TaskAttr {
    /// Settings of the first task on so many processors.
    pub fn new(cpus: u32) -> TaskAttr {
        let cpus = usize::try_from(cpus.clamp(1, 1024)).unwrap_or(1);
        let mut affinity = vec![0u64; cpus.div_ceil(64)];
        for cpu in 0..cpus {
            if let Some(word) = affinity.get_mut(cpu / 64) {
                *word |= 1 << (cpu % 64);
            }
        }
        TaskAttr {
            clear_child_tid: 0,
            robust_list: 0,
            pdeath_signal: 0,
            timer_slack_ns: 50_000,
            timer_slack_default_ns: 50_000,
            personality: 0,
            sched: Sched {
                policy: 0,
                priority: 0,
                nice: 0,
                reset_on_fork: false,
                affinity,
                ioprio: 0,
                deadline: (0, 0, 0),
            },
            mempolicy: None,
            mce_kill: 2,
            tsc_mode: 1,
            seccomp: Seccomp::Disabled,
            thp_disable: false,
            io_flusher: false,
        }
    }

    /// What a new thread or process starts with.
    pub fn for_child(&self) -> TaskAttr {
        let mut child = self.clone();
        child.clear_child_tid = 0;
        child.robust_list = 0;
        child.pdeath_signal = 0;
        child.timer_slack_default_ns = self.timer_slack_ns;
        if child.sched.reset_on_fork {
            if child.sched.policy != 0 {
                child.sched.policy = 0;
                child.sched.priority = 0;
            }
            child.sched.nice = child.sched.nice.max(0);
            child.sched.reset_on_fork = false;
        }
        child
    }
}
