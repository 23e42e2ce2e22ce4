//! The controllers of network classes and priorities.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};

/// Longest name of an interface, with its end.
const NAME: usize = 16;

/// Most interfaces of a map.
const MOST: usize = 256;

pub fn class() -> Vec<Def> {
    vec![def("net_cls.classid", Kind::Number(0, 0..=u32::MAX as i64))]
}

pub fn priority() -> Vec<Def> {
    vec![
        def("net_prio.ifpriomap", Kind::Change(map, set)),
        def(
            "net_prio.prioidx",
            Kind::Read(|at| Ok(format!("{}\n", at.group.id & 0xffff))),
        ),
    ]
}

fn kept(at: &At<'_>) -> Vec<(String, u32)> {
    let text = at.group.value(at.name).unwrap_or_default();
    let row = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

fn map(at: &At<'_>) -> Result<String> {
    let mut rows = kept(at);
    if !rows.iter().any(|(name, _)| name == "lo") {
        rows.insert(0, ("lo".to_owned(), 0));
    }
    Ok(rows.iter().map(|(name, number)| format!("{name} {number}\n")).collect())
}

fn set(at: &At<'_>, text: &str) -> Result<()> {
    let (name, number) = text.split_once(' ').ok_or(Errno::EINVAL)?;
    let number: u32 = number.trim().parse().map_err(|_| Errno::EINVAL)?;
    if name.is_empty() || name.len() >= NAME {
        return Err(Errno::EINVAL);
    }
    let mut rows = kept(at);
    rows.retain(|(known, _)| known != name);
    rows.push((name.to_owned(), number));
    if rows.len() > MOST {
        return Err(Errno::ENOMEM);
    }
    let text = rows.iter().map(|(name, number)| format!("{name} {number}\n")).collect();
    at.group.set_value(at.name, text);
    Ok(())
}
