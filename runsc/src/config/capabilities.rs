//! Names of capabilities to masks.

use sentry::boot::config::Capabilities;
use serde_json::Value;

use super::{Notes, bad};
use crate::error::Result;

const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Every capability, by name.
pub fn all_capabilities() -> Vec<&'static str> {
    NAMES.to_vec()
}

/// Takes names that are unknown here out of `process.capabilities`, with a note, as runc does.
pub fn drop_unknown(process: &mut Value, notes: &mut Notes) {
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else {
        return;
    };
    for (set, names) in sets {
        let Some(names) = names.as_array_mut() else { continue };
        names.retain(|name| match name.as_str() {
            Some(name) if !NAMES.contains(&name) => {
                notes.push(format!(
                    "config.json: process.capabilities.{set}: unknown capability {name:?} ignored"
                ));
                false
            }
            _ => true,
        });
    }
}

/// Masks of a configuration's sets.
pub fn masks(caps: Option<&oci_spec::runtime::LinuxCapabilities>) -> Result<Capabilities> {
    let Some(caps) = caps else {
        return Ok(Capabilities::default());
    };
    let mask = |set: &Option<oci_spec::runtime::Capabilities>| -> u64 {
        set.iter()
            .flatten()
            .filter_map(|cap| bit(&format!("CAP_{cap}")))
            .fold(0, |mask, bit| mask | bit)
    };
    let permitted = mask(caps.permitted());
    let (bounding, inheritable) = (mask(caps.bounding()), mask(caps.inheritable()));
    // `capset(2)` refuses it once the bounding set is what it is to be.
    if let Some(name) = NAMES
        .iter()
        .enumerate()
        .find(|(bit, _)| inheritable & !bounding & (1 << bit) != 0)
    {
        return Err(bad(
            "process.capabilities.inheritable",
            format_args!("{} is not in the bounding set: operation not permitted", name.1),
        ));
    }
    Ok(Capabilities {
        bounding,
        effective: mask(caps.effective()) & permitted,
        inheritable,
        permitted,
        // The kernel lets only what is permitted and inheritable be ambient.
        ambient: mask(caps.ambient()) & permitted & inheritable,
    })
}

fn bit(name: &str) -> Option<u64> {
    NAMES.iter().position(|n| *n == name).map(|at| 1 << at)
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_oci_spec() {
        use oci_spec::runtime::Capability;
        assert_eq!(super::bit(&format!("CAP_{}", Capability::DacReadSearch)), Some(4));
        assert_eq!(
            super::bit(&format!("CAP_{}", Capability::CheckpointRestore)),
            Some(1 << 40)
        );
        assert_eq!(super::bit(&format!("CAP_{}", Capability::Syslog)), Some(1 << 34));
        assert_eq!(super::bit(&format!("CAP_{}", Capability::Bpf)), Some(1 << 39));
    }
}
