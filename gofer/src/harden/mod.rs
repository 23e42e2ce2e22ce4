//! What the Gofer gives up before it reads its first message. Namespaces and the root are its starter's part.

mod rules;

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use rules::{Check, RULES};

/// What serving files as root takes: any file's content and attributes, no power over processes, networks or mounts.
pub const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP);

/// Drops every capability but [`CAPABILITIES`], binds the process's life to its parent's and forbids gaining anything back.
/// To be called by the only thread of the process, before [`crate::serve`].
pub fn harden() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    drop_capabilities()
}

fn drop_capabilities() -> io::Result<()> {
    let _ambient_may_be_unknown = rustix::thread::clear_ambient_capability_set();
    for capability in CapabilitySet::all().difference(CAPABILITIES).iter() {
        // Fails without CAP_SETPCAP. The bounding set only matters to execve, which the seccomp list forbids.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let have = rustix::thread::capabilities(None)?;
    let keep = have.permitted.intersection(CAPABILITIES);
    let sets = CapabilitySets {
        effective: keep,
        permitted: keep,
        inheritable: CapabilitySet::empty(),
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Puts the list of [`rules`] in force for every thread of the process. Anything else kills it.
pub fn install_filter() -> io::Result<()> {
    let failed = |e: &dyn std::fmt::Display| io::Error::other(format!("seccomp filter of the gofer: {e}"));
    let program = filter().map_err(|e| failed(&e))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|e| failed(&e))
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut list = std::collections::BTreeMap::<i64, Vec<SeccompRule>>::new();
    for rule in RULES {
        let alternatives = list.entry(i64::from(rule.call)).or_default();
        if !rule.checks.is_empty() {
            let conditions = rule.checks.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
            alternatives.push(SeccompRule::new(conditions)?);
        }
    }
    SeccompFilter::new(
        list,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?
    .try_into()
}

fn condition(check: &Check) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (arg, op, value) = match *check {
        Check::Equals(arg, value) => (arg, SeccompCmpOp::Eq, value),
        Check::Without(arg, bits) => (arg, SeccompCmpOp::MaskedEq(bits), 0),
        Check::With(arg, bits) => (arg, SeccompCmpOp::MaskedEq(bits), bits),
    };
    SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, value)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_compiles() {
        assert!(!super::filter().unwrap().is_empty());
    }

    #[test]
    fn no_rule_stands_twice() {
        for (i, rule) in super::RULES.iter().enumerate() {
            let twin = super::RULES
                .iter()
                .skip(i + 1)
                .find(|r| r.call == rule.call && r.checks.is_empty());
            assert!(twin.is_none(), "call {}", rule.call);
        }
    }
}
