//! The controller of huge pages, of the sizes that the host has. The guest has none: none are ever used.

use std::borrow::Cow;

use super::super::file::{Def, Kind};
use super::{reset, zero};

pub fn files(host: &[String]) -> Vec<Def> {
    let of = |name: &String| {
        let (_, what) = name.strip_prefix("hugetlb.")?.split_once('.')?;
        let kind = match what {
            "limit_in_bytes" | "rsvd.limit_in_bytes" => Kind::Bytes,
            "usage_in_bytes" | "rsvd.usage_in_bytes" => Kind::Read(zero),
            "failcnt" | "max_usage_in_bytes" | "rsvd.failcnt" | "rsvd.max_usage_in_bytes" => Kind::Change(zero, reset),
            "numa_stat" => Kind::Fixed("total=0 N0=0\nhierarchical_total=0 N0=0\n"),
            _ => return None,
        };
        Some(Def {
            name: Cow::Owned(name.clone()),
            kind,
        })
    };
    host.iter().filter_map(of).collect()
}
