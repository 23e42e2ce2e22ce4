//! Files of a group.

use std::borrow::Cow;
use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use super::{v1, v2};
use crate::cgroup::{Group, Hierarchy, NO_LIMIT};
use crate::kernel::Kernel;
use crate::task::{Cgroup, Task};

/// A file that a group has.
pub struct Def {
    pub name: Cow<'static, str>,
    pub kind: Kind,
}

/// What it does.
pub enum Kind {
    /// Says.
    Read(fn(&At<'_>) -> Result<String>),
    /// Says, and can be written.
    Change(fn(&At<'_>) -> Result<String>, fn(&At<'_>, &str) -> Result<()>),
    /// Can only be written.
    Order(fn(&At<'_>, &str) -> Result<()>),
    /// Keeps a number between two others; at first it is this one.
    Number(i64, std::ops::RangeInclusive<i64>),
    /// Keeps a number of bytes; at first the most there is.
    Bytes,
    /// Always the same.
    Fixed(&'static str),
}

/// Where, and on whose behalf; nobody's while the container is made or updated.
pub struct At<'a> {
    pub kernel: &'a Arc<Kernel>,
    pub container: &'a Arc<Cgroup>,
    pub hierarchy: &'a Arc<Hierarchy>,
    pub group: &'a Arc<Group>,
    pub name: &'a str,
    pub by: Option<&'a Arc<Task>>,
}

impl At<'_> {
    /// Whether the group has the file.
    pub fn is_there(&self) -> bool {
        !self.group.is_removed() && has_file(self.hierarchy, self.group, self.name)
    }

    /// The number that this group's file of that name keeps.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.group.number(name)
    }
}

/// A row of a table.
pub const fn def(name: &'static str, kind: Kind) -> Def {
    Def {
        name: Cow::Borrowed(name),
        kind,
    }
}

impl Def {
    /// Permission bits.
    pub fn mode(&self) -> u32 {
        match self.kind {
            Kind::Read(_) | Kind::Fixed(_) => 0o444,
            Kind::Change(..) | Kind::Number(..) | Kind::Bytes => 0o644,
            Kind::Order(_) => 0o200,
        }
    }

    /// The text as of now.
    pub fn read(&self, at: &At<'_>) -> Result<String> {
        let kept = |first: i64| format!("{}\n", at.number(&self.name).unwrap_or(first));
        match &self.kind {
            Kind::Read(read) | Kind::Change(read, _) => read(at),
            Kind::Order(_) => Err(Errno::EINVAL),
            Kind::Number(first, _) => Ok(kept(*first)),
            Kind::Bytes => Ok(kept(NO_LIMIT)),
            Kind::Fixed(text) => Ok((*text).to_owned()),
        }
    }

    /// Takes what one `write(2)` brought, without white space around it.
    pub fn write(&self, at: &At<'_>, text: &str) -> Result<()> {
        match &self.kind {
            Kind::Read(_) | Kind::Fixed(_) => Err(Errno::EINVAL),
            Kind::Change(_, write) | Kind::Order(write) => write(at, text),
            Kind::Number(_, range) => {
                let number: i64 = text.parse().map_err(|_| Errno::EINVAL)?;
                if !range.contains(&number) {
                    return Err(Errno::EINVAL);
                }
                at.group.set_value(&self.name, number.to_string());
                Ok(())
            }
            Kind::Bytes => {
                let bytes = crate::cgroup::parse_bytes(text).ok_or(Errno::EINVAL)?;
                at.group.set_value(&self.name, bytes.to_string());
                Ok(())
            }
        }
    }
}

/// Those that groups of a hierarchy have: what the guest's kernel knows, as far as the host's has it.
pub fn files_of(hierarchy: &Hierarchy) -> Vec<Def> {
    if hierarchy.is_v2() {
        return v2::files(hierarchy);
    }
    let mut files = v1::files(hierarchy);
    let host = &hierarchy.config.files;
    if !host.is_empty() {
        files.retain(|def| host.iter().any(|name| *name == def.name));
    }
    files
}

/// Which of those a group has.
pub fn has_file(hierarchy: &Hierarchy, group: &Group, name: &str) -> bool {
    !hierarchy.is_v2() || v2::has_file(hierarchy, group, name)
}
