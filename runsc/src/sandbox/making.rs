//! What every container has of its own, with a sandbox to itself or in that of another: a group of the host's and a Gofer.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

use super::fds::{connections, keeps_stderr};
use super::hook_mounts::{self, HookPlace};
use super::spawn::{Started, start_gofer};
use super::{Start, places};
use crate::cgroup::{self, CgroupRecord};
use crate::commands::Env;
use crate::config::Plan;
use crate::error::{Context, Result};
use crate::state::{Container, Process, Record};

/// A container that is being made.
pub struct Making<'a> {
    pub env: &'a Env<'a>,
    pub container: &'a Container,
    pub record: &'a mut Record,
    pub start: &'a Start,
}

/// Its Gofer, which is held.
pub struct OwnGofer {
    pub process: Started,
    /// The Sentry's ends.
    pub connections: Vec<OwnedFd>,
    /// At its end when the Gofer has ended.
    pub alive: OwnedFd,
    /// At its end when the Gofer serves; a complaint comes first.
    pub ready: OwnedFd,
    /// Where it waits for what hooks mounted, if there are hooks that may.
    pub hooked: Option<HookPlace>,
}

impl Making<'_> {
    /// Makes the group. What will be made is on record before.
    pub fn create_group(&mut self, plan: &Plan) -> Result<()> {
        let mut notes = Vec::new();
        let (container, record) = (self.container, &mut *self.record);
        let mut intent = |group: &CgroupRecord| {
            record.cgroup = Some(group.clone());
            container.write(record)
        };
        let group = cgroup::create(plan, self.env.globals, &mut intent, &mut notes)?;
        self.tell(&notes);
        self.record.cgroup = group;
        self.write()
    }

    /// Starts the Gofer in the group. Its pid is on record before it does anything.
    pub fn spawn_gofer(&mut self, image: &OwnedFd, plan: &Plan, count: u32) -> Result<OwnGofer> {
        places::make(&plan.rootfs, &plan.container);
        let (sentry_ends, gofer_ends) = connections(count)?;
        let (alive, alive_write) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
        let (ready, ready_write) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe")?;
        let flags = [self.start.foreground, keeps_stderr(self.env, self.start)];
        // An ordinary user's hooks run where runsc does.
        let hooked = plan.hooks.may_mount() && !self.env.globals.is_rootless();
        let (later, later_read) = hooked.then(hook_mounts::channel).transpose()?.unzip();
        let pipes = [ready_write, alive_write];
        let process = start_gofer(self.env, image, plan, gofer_ends, pipes, later_read, flags)?;
        self.record.gofer = Process::of(process.pid());
        self.write()?;
        self.begin(process.pid(), plan)?;
        self.settle(&process, plan.container.process.oom_score_adj)?;
        let hooked = later
            .map(|later| HookPlace::of(process.pid(), &plan.rootfs, later))
            .transpose()?;
        Ok(OwnGofer {
            process,
            hooked,
            connections: sentry_ends,
            alive,
            ready,
        })
    }

    /// What the container sees of the group, now that it is made.
    pub fn show_groups(&self, plan: &mut Plan) {
        let (mounts, own) = (&plan.container.mounts, plan.container.cgroups.own_namespace);
        let group = self.record.cgroup.as_ref();
        plan.container.cgroups = cgroup::guest::config(mounts, own, plan.resources.as_ref(), group);
    }

    /// Lets systemd make what it has to of the group, around its first process.
    fn begin(&mut self, pid: i32, plan: &Plan) -> Result<()> {
        let Some(group) = self.record.cgroup.as_mut().filter(|group| group.unit.is_some()) else {
            return Ok(());
        };
        let mut notes = Vec::new();
        cgroup::begin(group, pid, plan.resources.as_ref(), &mut notes)?;
        self.tell(&notes);
        self.write()
    }

    /// Puts a held process where it belongs.
    pub fn settle(&self, held: &Started, oom_score_adj: i32) -> Result<()> {
        if let Some(group) = &self.record.cgroup {
            cgroup::enter(group, held.pid())?;
        }
        if oom_score_adj != 0 {
            let path = format!("/proc/{}/oom_score_adj", held.pid());
            // Less than it has takes CAP_SYS_RESOURCE on the host, and asks for no more than a preference.
            match std::fs::write(&path, oom_score_adj.to_string()) {
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {}
                other => other.context(|| format!("config.json: process.oomScoreAdj: {path}"))?,
            }
        }
        Ok(())
    }

    pub fn write(&self) -> Result<()> {
        self.container.write(self.record)
    }

    fn tell(&self, notes: &[String]) {
        notes.iter().for_each(|note| self.env.log.tell(note));
    }
}
