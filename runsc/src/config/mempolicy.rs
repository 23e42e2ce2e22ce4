//! `linux.memoryPolicy`.

use oci_spec::runtime::{Linux, MemoryPolicyFlagType, MemoryPolicyModeType};

use super::bad;
use crate::error::Result;

/// Linux has room for so many nodes.
const NODES: u32 = 1024;

/// Mode with flags, and nodes, as `set_mempolicy(2)` has them. Whether they go together is for the guest's kernel to say.
pub fn memory_policy(linux: Option<&Linux>) -> Result<Option<(u32, Vec<u32>)>> {
    let Some(wanted) = linux.and_then(|l| l.memory_policy().as_ref()) else {
        return Ok(None);
    };
    let mode = match wanted.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    };
    let flags = wanted.flags().iter().flatten().fold(0, |all, one| all | flag(one));
    let text = wanted.nodes().as_deref().unwrap_or_default();
    let nodes = nodes(text).ok_or_else(|| {
        bad(
            "linux.memoryPolicy.nodes",
            format_args!("{text:?} is not a list of node numbers below {NODES}"),
        )
    })?;
    Ok(Some((mode | flags, nodes)))
}

/// A list such as `0-3,7`.
fn nodes(text: &str) -> Option<Vec<u32>> {
    let mut out = Vec::new();
    if text.trim().is_empty() {
        return Some(out);
    }
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&node| node < NODES);
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        out.extend(first..=last);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::nodes;

    #[test]
    fn node_lists() {
        assert_eq!(nodes("0-2, 7"), Some(vec![0, 1, 2, 7]));
        assert_eq!(nodes(""), Some(Vec::new()));
        for bad in ["0-1024", "3-1", "x", "1,", "-1", "0-9876543210"] {
            assert_eq!(nodes(bad), None, "{bad}");
        }
    }
}
