//! The block I/O controller. The guest's kernel has no disks of its own: the limits are kept for whoever reads them.

use abi::Errno;
use abi::errno::Result;

use super::super::file::{At, Def, Kind, def};

/// Most devices of a file.
pub const MOST: usize = 256;

pub fn files() -> Vec<Def> {
    let mut files = vec![
        def("blkio.bfq.weight", Kind::Number(100, 1..=1000)),
        def("blkio.leaf_weight", Kind::Number(500, 10..=1000)),
        def("blkio.reset_stats", Kind::Order(|_, _| Ok(()))),
        def("blkio.weight", Kind::Number(500, 10..=1000)),
    ];
    for name in [
        "blkio.bfq.io_service_bytes",
        "blkio.bfq.io_service_bytes_recursive",
        "blkio.bfq.io_serviced",
        "blkio.bfq.io_serviced_recursive",
        "blkio.throttle.io_service_bytes",
        "blkio.throttle.io_service_bytes_recursive",
        "blkio.throttle.io_serviced",
        "blkio.throttle.io_serviced_recursive",
    ] {
        files.push(def(name, Kind::Fixed("Total 0\n")));
    }
    for name in [
        "blkio.leaf_weight_device",
        "blkio.throttle.read_bps_device",
        "blkio.throttle.read_iops_device",
        "blkio.throttle.write_bps_device",
        "blkio.throttle.write_iops_device",
        "blkio.weight_device",
    ] {
        files.push(def(name, Kind::Change(devices, set_device)));
    }
    files.push(def("blkio.bfq.weight_device", Kind::Change(weights, set_device)));
    files
}

pub fn kept(at: &At<'_>) -> Vec<(String, u64)> {
    let text = at.group.value(at.name).unwrap_or_default();
    let row = |line: &str| {
        let (device, number) = line.split_once(' ')?;
        Some((device.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

pub fn show(rows: &[(String, u64)]) -> String {
    rows.iter()
        .map(|(device, number)| format!("{device} {number}\n"))
        .collect()
}

fn devices(at: &At<'_>) -> Result<String> {
    Ok(show(&kept(at)))
}

fn weights(at: &At<'_>) -> Result<String> {
    let weight = at.number("blkio.bfq.weight").unwrap_or(100);
    Ok(format!("default {weight}\n{}", show(&kept(at))))
}

/// `MAJOR:MINOR`
pub fn device(text: &str) -> Option<String> {
    let (major, minor) = text.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    Some(format!("{major}:{minor}"))
}

/// `MAJOR:MINOR NUMBER`; 0 takes the device out.
fn set_device(at: &At<'_>, text: &str) -> Result<()> {
    let (place, number) = text.split_once(char::is_whitespace).ok_or(Errno::EINVAL)?;
    let device = device(place).ok_or(Errno::EINVAL)?;
    let number: u64 = number.trim().parse().map_err(|_| Errno::EINVAL)?;
    let mut rows = kept(at);
    rows.retain(|(known, _)| *known != device);
    if number != 0 {
        rows.push((device, number));
    }
    if rows.len() > MOST {
        return Err(Errno::ENOMEM);
    }
    at.group.set_value(at.name, show(&rows));
    Ok(())
}
