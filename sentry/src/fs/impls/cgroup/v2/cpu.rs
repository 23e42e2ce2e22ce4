//! The cpu controller.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use super::super::v1::times;

const IDLE: &str = "cpu.idle";
const MAX: &str = "cpu.max";
const BURST: &str = "cpu.max.burst";

/// Kept as Linux keeps it: as shares, of which 1024 are a weight of 100 and what a task of nice value 0 has.
const WEIGHT: &str = "cpu.weight";

/// What tasks have by their nice values, from -20 on (`sched_prio_to_weight`).
const BY_NICE: [i64; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
    1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
];

/// What an idle group has.
const IDLE_SHARES: i64 = 3;

/// Periods that Linux takes, in microseconds.
const PERIODS: std::ops::RangeInclusive<u64> = 1000..=1_000_000;

pub fn files() -> Vec<Def> {
    vec![
        def(IDLE, Kind::Change(|at| Ok(format!("{}\n", idle(at))), set_idle)),
        def(
            MAX,
            Kind::Change(|at| Ok(format!("{}\n", bandwidth(at).show())), set_max),
        ),
        def(BURST, Kind::Change(|at| Ok(format!("{}\n", burst(at))), set_burst)),
        def("cpu.stat.local", Kind::Fixed("throttled_usec 0\n")),
        def(
            WEIGHT,
            Kind::Change(|at| Ok(format!("{}\n", weight_of(shares(at)))), set_weight),
        ),
        def(
            "cpu.weight.nice",
            Kind::Change(|at| Ok(format!("{}\n", nice_of(shares(at)))), set_nice),
        ),
    ]
}

/// `cpu.stat`, which all groups have; with the controller there is more in it.
pub fn stat(at: &At<'_>) -> Result<String> {
    let [user, system] = times(at).map(|ns| ns / 1000);
    let usage = user.saturating_add(system);
    let mut text = format!("usage_usec {usage}\nuser_usec {user}\nsystem_usec {system}\n");
    if super::control::has(at.hierarchy, at.group, "cpu") {
        text.push_str("nr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n");
    }
    Ok(text)
}

/// How much time there is in how much, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bandwidth {
    /// None: all there is.
    quota: Option<u64>,
    period: u64,
}

impl Bandwidth {
    fn show(self) -> String {
        match self.quota {
            None => format!("max {}", self.period),
            Some(quota) => format!("{quota} {}", self.period),
        }
    }

    /// `QUOTA [PERIOD]`; a period that is not given stays.
    fn parse(text: &str, now: Bandwidth) -> Option<Bandwidth> {
        let mut words = text.split_whitespace();
        let quota = match words.next()? {
            "max" => None,
            number => Some(number.parse().ok()?),
        };
        let period = words.next().map_or(Some(now.period), |word| word.parse().ok())?;
        let fits = PERIODS.contains(&period) && quota.is_none_or(|quota| quota >= *PERIODS.start());
        fits.then_some(Bandwidth { quota, period })
    }
}

const UNLIMITED: Bandwidth = Bandwidth {
    quota: None,
    period: 100_000,
};

fn bandwidth(at: &At<'_>) -> Bandwidth {
    let kept = at.group.value(MAX);
    kept.and_then(|text| Bandwidth::parse(&text, UNLIMITED))
        .unwrap_or(UNLIMITED)
}

fn burst(at: &At<'_>) -> u64 {
    at.number(BURST).unwrap_or(0).unsigned_abs()
}

fn set_max(at: &At<'_>, text: &str) -> Result<()> {
    let new = Bandwidth::parse(text, bandwidth(at)).ok_or(Errno::EINVAL)?;
    if new.quota.is_some_and(|quota| quota < burst(at)) {
        return Err(Errno::EINVAL);
    }
    at.group.set_value(MAX, new.show());
    Ok(())
}

/// Not more than the quota.
fn set_burst(at: &At<'_>, text: &str) -> Result<()> {
    let burst: u64 = text.parse().map_err(|_| Errno::EINVAL)?;
    let most = bandwidth(at).quota.unwrap_or(i64::MAX.unsigned_abs() / 1000);
    if burst > most {
        return Err(Errno::EINVAL);
    }
    at.group.set_value(BURST, burst.to_string());
    Ok(())
}

fn idle(at: &At<'_>) -> i64 {
    at.number(IDLE).unwrap_or(0)
}

/// A group that is not idle any more has the weight of a new one.
fn set_idle(at: &At<'_>, text: &str) -> Result<()> {
    let new = match text {
        "0" | "1" => i64::from(text == "1"),
        _ => return Err(Errno::EINVAL),
    };
    if new != idle(at) {
        let shares = if new == 1 { IDLE_SHARES } else { 1024 };
        at.group.set_value(WEIGHT, shares.to_string());
        at.group.set_value(IDLE, new.to_string());
    }
    Ok(())
}

fn shares(at: &At<'_>) -> i64 {
    at.number(WEIGHT).unwrap_or(1024)
}

fn set_shares(at: &At<'_>, shares: i64) -> Result<()> {
    if idle(at) == 1 {
        return Err(Errno::EINVAL);
    }
    at.group.set_value(WEIGHT, shares.to_string());
    Ok(())
}

fn set_weight(at: &At<'_>, text: &str) -> Result<()> {
    let weight: u64 = text.parse().map_err(|_| Errno::EINVAL)?;
    match i64::try_from(weight) {
        Ok(weight @ 1..=10_000) => set_shares(at, shares_of(weight)),
        _ => Err(Errno::ERANGE),
    }
}

fn set_nice(at: &At<'_>, text: &str) -> Result<()> {
    let nice: i64 = text.parse().map_err(|_| Errno::EINVAL)?;
    let index = nice.checked_add(20).and_then(|n| usize::try_from(n).ok());
    let shares = index.and_then(|n| BY_NICE.get(n)).ok_or(Errno::ERANGE)?;
    set_shares(at, *shares)
}

fn shares_of(weight: i64) -> i64 {
    weight.saturating_mul(1024).saturating_add(50) / 100
}

fn weight_of(shares: i64) -> i64 {
    shares.saturating_mul(100).saturating_add(512) / 1024
}

/// The nice value that comes nearest.
fn nice_of(shares: i64) -> i64 {
    let nearest = (-20..).zip(BY_NICE).min_by_key(|(_, of)| of.abs_diff(shares));
    nearest.map_or(0, |(nice, _)| nice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_nice_values() {
        for weight in [1, 39, 100, 10_000] {
            assert_eq!(weight_of(shares_of(weight)), weight);
        }
        assert!((-20..).zip(BY_NICE).all(|(nice, shares)| nice_of(shares) == nice));
        assert_eq!(
            (weight_of(88761), weight_of(15), nice_of(shares_of(125))),
            (8668, 1, -1)
        );
    }

    #[test]
    fn bandwidths() {
        let parse = |text| Bandwidth::parse(text, UNLIMITED).map(Bandwidth::show);
        assert_eq!(parse("50000").as_deref(), Some("50000 100000"));
        assert_eq!(parse("max 50000").as_deref(), Some("max 50000"));
        assert_eq!(parse("200000 20000").as_deref(), Some("200000 20000"));
        for wrong in ["", "999", "1000 999", "1000 1000001", "x", "-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
