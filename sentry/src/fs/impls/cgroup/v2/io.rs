//! The block I/O controller. The guest's kernel has no disks of its own: the limits are kept for whoever reads them.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};
use super::super::v1::blkio::{self, MOST};

const KEYS: [&str; 4] = ["rbps", "wbps", "riops", "wiops"];

pub fn files() -> Vec<Def> {
    vec![
        def(
            "io.bfq.weight",
            Kind::Change(weights, |at, text| set_weight(at, text, 1000, Errno::ERANGE)),
        ),
        def("io.max", Kind::Change(limits, set_limits)),
        def("io.stat", Kind::Fixed("")),
        def(
            "io.weight",
            Kind::Change(weights, |at, text| set_weight(at, text, 10_000, Errno::EINVAL)),
        ),
    ]
}

const DEFAULT: &str = "default";

/// The group's own first, then those of devices.
fn weights(at: &At<'_>) -> Result<String> {
    let (mut own, devices): (Vec<_>, Vec<_>) = blkio::kept(at).into_iter().partition(|(name, _)| name == DEFAULT);
    if own.is_empty() {
        own.push((DEFAULT.to_owned(), 100));
    }
    own.extend(devices);
    Ok(blkio::show(&own))
}

/// `[default] WEIGHT`, or `MAJOR:MINOR WEIGHT`, where `default` takes the device out.
fn set_weight(at: &At<'_>, text: &str, most: u64, beyond: Errno) -> Result<()> {
    let (place, weight) = text.split_once(char::is_whitespace).unwrap_or((DEFAULT, text));
    let place = match place {
        DEFAULT => DEFAULT.to_owned(),
        device => blkio::device(device).ok_or(Errno::EINVAL)?,
    };
    let weight = match weight.trim() {
        DEFAULT if place != DEFAULT => None,
        number => Some(number.parse::<u64>().map_err(|_| Errno::EINVAL)?),
    };
    if weight.is_some_and(|weight| weight == 0 || weight > most) {
        return Err(beyond);
    }
    let mut rows = blkio::kept(at);
    rows.retain(|(known, _)| *known != place);
    rows.extend(weight.map(|weight| (place, weight)));
    if rows.len() > MOST {
        return Err(Errno::ENOMEM);
    }
    at.group.set_value(at.name, blkio::show(&rows));
    Ok(())
}

/// Rows of devices, as they are kept.
fn kept(at: &At<'_>) -> Vec<(String, [u64; 4])> {
    let text = at.group.value(at.name).unwrap_or_default();
    let row = |line: &str| {
        let (device, words) = line.split_once(' ')?;
        let mut values = [u64::MAX; 4];
        change(&mut values, words)?;
        Some((device.to_owned(), values))
    };
    text.lines().filter_map(row).collect()
}

/// `KEY=NUMBER` or `KEY=max`, any number of them.
fn change(values: &mut [u64; 4], words: &str) -> Option<()> {
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=')?;
        let value = match value {
            "max" => u64::MAX,
            number => number.parse().ok().filter(|n| *n != 0)?,
        };
        let (_, slot) = KEYS.iter().zip(values.iter_mut()).find(|(known, _)| **known == key)?;
        *slot = value;
    }
    Some(())
}

fn show(device: &str, values: &[u64; 4]) -> String {
    let mut line = device.to_owned();
    for (key, value) in KEYS.iter().zip(values) {
        line.push_str(&match value {
            &u64::MAX => format!(" {key}=max"),
            value => format!(" {key}={value}"),
        });
    }
    line.push('\n');
    line
}

fn limits(at: &At<'_>) -> Result<String> {
    Ok(at.group.value(at.name).unwrap_or_default())
}

/// What is not named stays; a device without any limit goes.
fn set_limits(at: &At<'_>, text: &str) -> Result<()> {
    let (place, words) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let place = blkio::device(place).ok_or(Errno::EINVAL)?;
    let mut rows = kept(at);
    let before = rows
        .iter()
        .position(|(known, _)| *known == place)
        .map(|n| rows.remove(n));
    let mut values = before.map_or([u64::MAX; 4], |(_, values)| values);
    change(&mut values, words).ok_or(Errno::EINVAL)?;
    if values != [u64::MAX; 4] {
        rows.push((place, values));
    }
    if rows.len() > MOST {
        return Err(Errno::ENOMEM);
    }
    let text = rows.iter().map(|(device, values)| show(device, values)).collect();
    at.group.set_value(at.name, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let mut values = [u64::MAX; 4];
        change(&mut values, "wbps=1000 riops=7 wbps=max").unwrap();
        assert_eq!(show("8:0", &values), "8:0 rbps=max wbps=max riops=7 wiops=max\n");
        for wrong in ["wbps", "wbps=", "wbps=0", "wbps=-1", "bps=1"] {
            assert_eq!(change(&mut values, wrong), None, "{wrong}");
        }
    }
}
