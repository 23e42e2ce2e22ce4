//! Memory policies (`set_mempolicy(2)`). There is one node, and every policy comes to it; what was set is kept and shown.

use abi::Errno;
use abi::errno::Result;
use bitflags::bitflags;

use super::Mm;

bitflags! {
    /// `MPOL_F_*` that come with a mode.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ModeFlags: u32 {
        /// `MPOL_F_STATIC_NODES`
        const STATIC = 1 << 15;
        /// `MPOL_F_RELATIVE_NODES`
        const RELATIVE = 1 << 14;
        /// `MPOL_F_NUMA_BALANCING`
        const BALANCING = 1 << 13;
    }
}

/// `MPOL_*` but the default one, which is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "set_mempolicy(2) documents each name")]
pub enum Mode {
    Preferred = 1,
    Bind = 2,
    Interleave = 3,
    Local = 4,
    PreferredMany = 5,
    WeightedInterleave = 6,
}

/// Nodes as a call names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeMask {
    /// The first 64.
    pub low: u64,
    /// One of the others is set.
    pub more: bool,
}

impl NodeMask {
    fn is_empty(self) -> bool {
        self.low == 0 && !self.more
    }
}

impl FromIterator<u32> for NodeMask {
    fn from_iter<I: IntoIterator<Item = u32>>(nodes: I) -> NodeMask {
        let mut mask = NodeMask::default();
        for node in nodes {
            match 1u64.checked_shl(node) {
                Some(bit) => mask.low |= bit,
                None => mask.more = true,
            }
        }
        mask
    }
}

/// A policy of a thread or an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    mode: Mode,
    flags: ModeFlags,
    /// Nodes that were named, where they are kept as such.
    named: u64,
    home: Option<u32>,
}

/// Parts a mode from its flags (`sanitize_mpol_flags`).
pub fn split(mode: u32) -> Result<(Option<Mode>, ModeFlags)> {
    let flags = ModeFlags::from_bits_truncate(mode);
    let mode = match mode & !ModeFlags::all().bits() {
        0 => None,
        1 => Some(Mode::Preferred),
        2 => Some(Mode::Bind),
        3 => Some(Mode::Interleave),
        4 => Some(Mode::Local),
        5 => Some(Mode::PreferredMany),
        6 => Some(Mode::WeightedInterleave),
        _ => return Err(Errno::EINVAL),
    };
    let balances = matches!(mode, Some(Mode::Bind | Mode::PreferredMany));
    if flags.contains(ModeFlags::STATIC | ModeFlags::RELATIVE) || flags.contains(ModeFlags::BALANCING) && !balances {
        return Err(Errno::EINVAL);
    }
    Ok((mode, flags))
}

impl Policy {
    /// None is the default policy.
    pub fn new(mode: Option<Mode>, flags: ModeFlags, nodes: NodeMask) -> Result<Option<Policy>> {
        let keeps = flags.intersects(ModeFlags::STATIC | ModeFlags::RELATIVE);
        let mode = match (mode, nodes.is_empty()) {
            (None, true) => return Ok(None),
            (Some(Mode::Preferred | Mode::Local), true) if !keeps => Mode::Local,
            (None | Some(Mode::Local), _) | (_, true) => return Err(Errno::EINVAL),
            (Some(mode), false) => mode,
        };
        // Relative nodes are counted round those that there are.
        let reaches = nodes.low & 1 != 0 || flags.contains(ModeFlags::RELATIVE);
        if mode != Mode::Local && !reaches {
            return Err(Errno::EINVAL);
        }
        Ok(Some(Policy {
            mode,
            flags,
            named: if keeps { nodes.low } else { 1 },
            home: None,
        }))
    }

    /// As `get_mempolicy(2)` gives it: mode with flags.
    pub fn word(&self) -> u32 {
        self.mode as u32 | self.flags.bits()
    }

    /// Nodes as `get_mempolicy(2)` gives them.
    pub fn nodes(&self) -> u64 {
        if self.mode == Mode::Local { 0 } else { self.named }
    }

    /// Takes the nodes in turn.
    pub fn interleaves(&self) -> bool {
        matches!(self.mode, Mode::Interleave | Mode::WeightedInterleave)
    }
}

/// As `/proc/PID/numa_maps` shows it, with the nodes that are in use.
pub fn shown(policy: Option<&Policy>) -> String {
    let Some(policy) = policy else {
        return "default".to_owned();
    };
    let mut text = match policy.mode {
        Mode::Preferred => "prefer",
        Mode::Bind => "bind",
        Mode::Interleave => "interleave",
        Mode::Local => "local",
        Mode::PreferredMany => "prefer (many)",
        Mode::WeightedInterleave => "weighted interleave",
    }
    .to_owned();
    let flags = [
        (ModeFlags::STATIC, "static"),
        (ModeFlags::RELATIVE, "relative"),
        (ModeFlags::BALANCING, "balancing"),
    ];
    let set: Vec<&str> = flags
        .iter()
        .filter(|(flag, _)| policy.flags.contains(*flag))
        .map(|(_, name)| *name)
        .collect();
    if !set.is_empty() {
        text = format!("{text}={}", set.join("|"));
    }
    if policy.mode != Mode::Local {
        text.push_str(":0");
    }
    text
}

impl Mm {
    /// `mbind(2)`. The default policy may be given to a range with holes.
    pub fn set_policy(&self, start: u64, end: u64, policy: Option<Policy>) -> Result<()> {
        let mut state = self.state.lock();
        let nothing = state.vmas.overlapping(start, end).next().is_none();
        if nothing || (policy.is_some() && !state.vmas.covers(start, end)) {
            return Err(Errno::EFAULT);
        }
        state.vmas.update(start, end, |vma| vma.policy = policy);
        Ok(())
    }

    /// Of the area that holds the address; `EFAULT` if none does.
    pub fn policy_at(&self, addr: u64) -> Result<Option<Policy>> {
        self.state
            .lock()
            .vmas
            .at(addr)
            .map(|vma| vma.policy)
            .ok_or(Errno::EFAULT)
    }

    /// `set_mempolicy_home_node(2)`: areas before one that takes none keep what they were given.
    pub fn set_home_node(&self, start: u64, end: u64, node: u32) -> Result<()> {
        let mut state = self.state.lock();
        let areas: Vec<(u64, u64, Policy)> = state
            .vmas
            .overlapping(start, end)
            .filter_map(|vma| Some((vma.start.max(start), vma.end.min(end), vma.policy?)))
            .collect();
        let mut done = Err(Errno::ENOENT);
        for (start, end, policy) in areas {
            if !matches!(policy.mode, Mode::Bind | Mode::PreferredMany) {
                return Err(Errno::EOPNOTSUPP);
            }
            let homed = Policy {
                home: Some(node),
                ..policy
            };
            state.vmas.update(start, end, |vma| vma.policy = Some(homed));
            done = Ok(());
        }
        done
    }
}
