//! Limits that few configurations have: block devices, huge pages, network classes, RDMA.

use oci_spec::runtime::{LinuxBlockIo, LinuxResources, LinuxThrottleDevice};

use super::limits::Limit;

/// All of them; on a host without the controller they are noted or, where nothing is lost, left out.
pub(super) fn limits(resources: &LinuxResources, v2: bool) -> Vec<Limit> {
    let mut list = Vec::new();
    if let Some(io) = resources.block_io() {
        block_io(io, v2, &mut list);
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        let kind = if v2 { "max" } else { "limit_in_bytes" };
        let file = format!("hugetlb.{}.{kind}", huge.page_size());
        let value = match (huge.limit(), v2) {
            (limit, true) if limit < 0 => "max".to_owned(),
            (limit, _) => limit.to_string(),
        };
        // The guest has no huge pages to use up.
        list.push(Limit::new("hugepageLimits", "hugetlb", file, value, true));
    }
    if let (Some(network), false) = (resources.network(), v2) {
        if let Some(class) = network.class_id() {
            let value = class.to_string();
            list.push(Limit::new(
                "network.classID",
                "net_cls",
                "net_cls.classid",
                value,
                false,
            ));
        }
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            list.push(Limit::new(
                "network.priorities",
                "net_prio",
                "net_prio.ifpriomap",
                value,
                false,
            ));
        }
    }
    for (device, limit) in resources.rdma().iter().flatten() {
        let part = |name: &str, value: Option<u32>| value.map(|v| format!(" {name}={v}")).unwrap_or_default();
        let value = format!(
            "{device}{}{}",
            part("hca_handle", limit.hca_handles()),
            part("hca_object", limit.hca_objects())
        );
        list.push(Limit::new("rdma", "rdma", "rdma.max", value, false));
    }
    list
}

fn block_io(io: &LinuxBlockIo, v2: bool, list: &mut Vec<Limit>) {
    if let (Some(weight), false) = (io.leaf_weight(), v2) {
        list.push(Limit::new(
            "blockIO.leafWeight",
            "blkio",
            "blkio.leaf_weight",
            weight.to_string(),
            true,
        ));
    }
    for device in io.weight_device().iter().flatten() {
        let mut add = |controller, file: &'static str, weight: Option<u16>| {
            if let Some(weight) = weight {
                let value = format!("{}:{} {weight}", device.major(), device.minor());
                list.push(Limit::new("blockIO.weightDevice", controller, file, value, true));
            }
        };
        if v2 {
            add("io", "io.bfq.weight", device.weight());
        } else {
            add("blkio", "blkio.weight_device", device.weight());
            add("blkio", "blkio.bfq.weight_device", device.weight());
            add("blkio", "blkio.leaf_weight_device", device.leaf_weight());
        }
    }
    let kinds: [(_, _, _, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        (
            "blockIO.throttleReadBpsDevice",
            "blkio.throttle.read_bps_device",
            "rbps",
            io.throttle_read_bps_device(),
        ),
        (
            "blockIO.throttleWriteBpsDevice",
            "blkio.throttle.write_bps_device",
            "wbps",
            io.throttle_write_bps_device(),
        ),
        (
            "blockIO.throttleReadIOPSDevice",
            "blkio.throttle.read_iops_device",
            "riops",
            io.throttle_read_iops_device(),
        ),
        (
            "blockIO.throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
            "wiops",
            io.throttle_write_iops_device(),
        ),
    ];
    for (field, file, key, devices) in kinds {
        for device in devices.iter().flatten() {
            let place = format!("{}:{}", device.major(), device.minor());
            list.push(if v2 {
                Limit::new(field, "io", "io.max", format!("{place} {key}={}", device.rate()), false)
            } else {
                Limit::new(field, "blkio", file, format!("{place} {}", device.rate()), false)
            });
        }
    }
}
