//! The controller of huge pages, of the sizes that the host has. The guest has none: none are ever used.

use std::borrow::Cow;

use super::super::file::{Def, Kind};
use super::super::v1::zero;
use super::{limit, set_limit};
use crate::cgroup::NO_LIMIT;

pub fn files(host: &[String]) -> Vec<Def> {
    let of = |name: &String| {
        let (_, what) = name.strip_prefix("hugetlb.")?.split_once('.')?;
        let kind = match what {
            "max" | "rsvd.max" => Kind::Change(|at| limit(at, NO_LIMIT), set_limit),
            "current" | "rsvd.current" => Kind::Read(zero),
            "events" | "events.local" => Kind::Fixed("max 0\n"),
            "numa_stat" => Kind::Fixed("total=0 N0=0\n"),
            _ => return None,
        };
        Some(Def {
            name: Cow::Owned(name.clone()),
            kind,
        })
    };
    host.iter().filter_map(of).collect()
}
