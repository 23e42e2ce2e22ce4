//! `runsc events`.

use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::{Value, json};

use super::Env;
use crate::cgroup::{self, CgroupRecord};
use crate::error::{Context, Error, Result};
use crate::state::Status;

#[derive(Args)]
pub struct EventsArgs {
    /// Print the statistics of now and return
    #[arg(long)]
    stats: bool,

    /// Time between two statistics: 500ms, 5s, 1m
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = duration)]
    interval: Duration,

    /// Container
    id: String,
}

pub fn run(env: &Env<'_>, args: &EventsArgs) -> Result<i32> {
    let record = env.store.load(&args.id)?;
    if !matches!(record.status(), Status::Created | Status::Running | Status::Paused) {
        return Err(Error::new(format!(
            "container not running: {} is {}",
            args.id,
            record.status().name()
        )));
    }
    let cgroup = match &record.cgroup {
        Some(cgroup) => cgroup.clone(),
        None => super::update::adopt(env, &args.id)?,
    };
    let stats = |cgroup: &CgroupRecord| print(&args.id, "stats", Some(cgroup::stats(cgroup)));
    if args.stats {
        return stats(&cgroup).map(|()| 0);
    }
    let mut oom = cgroup::Oom::watch(&cgroup);
    let sandbox = record.sandbox.and_then(|s| s.open());
    let mut next = Instant::now() + args.interval;
    while let Some(sandbox) = &sandbox {
        let left = next.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Error::new("--interval: too long"))?;
        let mut polled = vec![PollFd::new(sandbox, PollFlags::IN)];
        polled.extend(
            oom.as_ref()
                .map(|oom| PollFd::from_borrowed_fd(oom.fd(), PollFlags::IN)),
        );
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context(|| "wait for events"),
        }
        let ready: Vec<bool> = polled.iter().map(|p| !p.revents().is_empty()).collect();
        drop(polled);
        if ready.get(1) == Some(&true) && oom.as_mut().is_some_and(cgroup::Oom::happened) {
            print(&args.id, "oom", None)?;
        }
        if ready.first() == Some(&true) {
            break;
        }
        if Instant::now() >= next {
            stats(&cgroup)?;
            next += args.interval;
        }
    }
    Ok(0)
}

fn print(id: &str, typ: &str, data: Option<Value>) -> Result<()> {
    let mut event = json!({ "type": typ, "id": id });
    if let Some(data) = data {
        event["data"] = data;
    }
    super::print(&format!("{event}\n")).map(drop)
}

/// Go's way of writing a duration, as far as anybody uses it here.
fn duration(text: &str) -> std::result::Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("want a number and ms, s, m or h".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "want a number and ms, s, m or h".to_owned())?;
    match Duration::try_from_secs_f64(number * scale) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("must be more than nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        for bad in ["", "5", "s", "0s", "-1s", "5d", "9999999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
