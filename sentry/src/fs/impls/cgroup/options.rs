//! Options of `mount -t cgroup` (`cgroup1_parse_param`, `cgroup1_root_to_use`).

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::cgroup::{Hierarchies, Hierarchy};
use crate::kernel::Kernel;

/// Longest name of a hierarchy.
const MAX_NAME: usize = 63;

/// What is asked for.
pub struct Wanted {
    controllers: Vec<String>,
    /// Without controllers.
    none: bool,
    name: Option<String>,
}

impl Wanted {
    /// From the options; `known` are the kernel's controllers.
    pub fn parse(data: &[u8], known: &[String]) -> Result<Wanted> {
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let (mut asked, mut all, mut none, mut prefixless) = (Vec::new(), false, false, false);
        let mut name = None;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("name", text)) if name.is_none() && is_name(text) => name = Some(text.to_owned()),
                Some(("release_agent", path)) if path.starts_with('/') => {}
                Some(_) => return Err(Errno::EINVAL),
                None => match word {
                    "all" => all = true,
                    "none" => none = true,
                    "noprefix" => prefixless = true,
                    "clone_children" | "cpuset_v2_mode" | "xattr" | "favordynmods" | "nofavordynmods" => {}
                    controller if known.iter().any(|c| c == controller) => asked.push(controller.to_owned()),
                    _ => return Err(Errno::EINVAL),
                },
            }
        }
        if all && !asked.is_empty() || none && (all || !asked.is_empty()) || prefixless {
            return Err(Errno::EINVAL);
        }
        if all || asked.is_empty() && !none && name.is_none() {
            asked = known.to_vec();
        }
        if asked.is_empty() && name.is_none() {
            return Err(Errno::EINVAL);
        }
        // The kernel's order.
        let controllers = known.iter().filter(|c| asked.contains(c)).cloned().collect();
        Ok(Wanted {
            controllers,
            none,
            name,
        })
    }

    /// The hierarchy that is meant; a new one is made in the `first` cgroup namespace alone.
    pub fn hierarchy(self, kernel: &Kernel, all: &Hierarchies, first: bool) -> Result<Arc<Hierarchy>> {
        for hierarchy in all.all().into_iter().filter(|h| !h.is_v2()) {
            let named = self.name.is_some();
            if named && hierarchy.config.name != self.name {
                continue;
            }
            if (!self.controllers.is_empty() || self.none) && hierarchy.config.controllers != self.controllers {
                match named {
                    true => return Err(Errno::EBUSY),
                    false => continue,
                }
            }
            return Ok(hierarchy);
        }
        if self.controllers.is_empty() && !self.none {
            return Err(Errno::EINVAL);
        }
        if !first {
            return Err(Errno::EPERM);
        }
        all.make(kernel, self.controllers, self.name)
    }
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(letter)
}

/// Options of `cgroup2`.
pub fn check_v2(data: &[u8]) -> Result<()> {
    let words = [
        "nsdelegate",
        "favordynmods",
        "memory_localevents",
        "memory_recursiveprot",
        "memory_hugetlb_accounting",
        "pids_localevents",
    ];
    let known = |word: &[u8]| word.is_empty() || words.iter().any(|w| w.as_bytes() == word);
    match data.split(|&b| b == b',').all(known) {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let known = ["cpu", "cpuacct", "memory"].map(str::to_owned);
        let parse = |text: &str| Wanted::parse(text.as_bytes(), &known);
        assert_eq!(parse("cpuacct,cpu").unwrap().controllers, ["cpu", "cpuacct"]);
        assert_eq!(parse("").unwrap().controllers, known);
        assert_eq!(parse("none,name=x").unwrap().name.as_deref(), Some("x"));
        for wrong in [
            "nope",
            "none",
            "all,cpu",
            "none,cpu",
            "name=",
            "name=a/b",
            "name=a,name=b",
            "noprefix",
        ] {
            assert_eq!(parse(wrong).err(), Some(Errno::EINVAL), "{wrong}");
        }
    }
}
