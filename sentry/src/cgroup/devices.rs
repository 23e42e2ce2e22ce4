//! The device controller of cgroup v1 (Documentation/admin-guide/cgroup-v1/devices.rst): a group allows all devices or none,
//! with exceptions.

use abi::Errno;
use abi::errno::Result;

use crate::task::DeviceRule;

/// Most exceptions of a group.
const MAX: usize = 4096;

const ALL: u32 = DeviceRule::MKNOD | DeviceRule::READ | DeviceRule::WRITE;

/// What a group may use.
#[derive(Clone)]
pub struct DeviceList {
    allows_all: bool,
    exceptions: Vec<Exception>,
}

/// One type of device, one number or all (none).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Exception {
    block: bool,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

/// A line for `devices.allow` and `devices.deny`.
enum Line {
    All,
    Some(Exception),
}

impl Exception {
    fn is_about(&self, other: &Exception) -> bool {
        (self.block, self.major, self.minor) == (other.block, other.major, other.minor)
    }

    /// Whether it is about all that `other` is about.
    fn covers(&self, other: &Exception) -> bool {
        self.block == other.block
            && self.major.is_none_or(|n| other.major == Some(n))
            && self.minor.is_none_or(|n| other.minor == Some(n))
            && other.access & !self.access == 0
    }

    /// Whether it is about anything that `other` is about.
    fn touches(&self, other: &Exception) -> bool {
        let meets = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.block == other.block
            && meets(self.major, other.major)
            && meets(self.minor, other.minor)
            && self.access & other.access != 0
    }
}

impl DeviceList {
    /// What rules of config.json come to, one after the other.
    pub fn new(rules: &[DeviceRule]) -> DeviceList {
        let mut list = DeviceList {
            allows_all: true,
            exceptions: Vec::new(),
        };
        for rule in rules {
            if (rule.block, rule.major, rule.minor) == (None, None, None) && rule.access == ALL {
                list = DeviceList {
                    allows_all: rule.allow,
                    exceptions: Vec::new(),
                };
                continue;
            }
            let kinds = rule.block.map_or(vec![true, false], |block| vec![block]);
            for block in kinds {
                let exception = Exception {
                    block,
                    major: rule.major,
                    minor: rule.minor,
                    access: rule.access,
                };
                let _ = list.change(rule.allow, exception);
            }
        }
        list
    }

    /// Whether every access of that kind is allowed.
    pub fn allows(&self, block: bool, major: u32, minor: u32, access: u32) -> bool {
        let wanted = Exception {
            block,
            major: Some(major),
            minor: Some(minor),
            access,
        };
        match self.allows_all {
            true => !self.exceptions.iter().any(|e| e.touches(&wanted)),
            false => self.exceptions.iter().any(|e| e.covers(&wanted)),
        }
    }

    /// A write to `devices.allow` or `devices.deny` of a group whose parent has `above`.
    pub fn write(&mut self, allow: bool, text: &str, above: &DeviceList, has_children: bool) -> Result<()> {
        let exception = match parse(text)? {
            Line::All if has_children => return Err(Errno::EINVAL),
            Line::All if allow && !above.allows_all => return Err(Errno::EPERM),
            Line::All if allow => {
                *self = above.clone();
                return Ok(());
            }
            Line::All => {
                self.allows_all = false;
                self.exceptions.clear();
                return Ok(());
            }
            Line::Some(exception) => exception,
        };
        if allow && !self.may_allow(&exception, above) {
            return Err(Errno::EPERM);
        }
        self.change(allow, exception)
    }

    /// A group has no more than the one above it (`parent_has_perm`, `parent_allows_removal`).
    fn may_allow(&self, exception: &Exception, above: &DeviceList) -> bool {
        match (above.allows_all, self.allows_all) {
            (true, _) => !above.exceptions.iter().any(|e| e.touches(exception)),
            (false, _) => above.exceptions.iter().any(|e| e.covers(exception)),
        }
    }

    fn change(&mut self, allow: bool, exception: Exception) -> Result<()> {
        if allow == self.allows_all {
            for old in self.exceptions.iter_mut().filter(|old| old.is_about(&exception)) {
                old.access &= !exception.access;
            }
            self.exceptions.retain(|old| old.access != 0);
        } else if let Some(old) = self.exceptions.iter_mut().find(|old| old.is_about(&exception)) {
            old.access |= exception.access;
        } else if self.exceptions.len() < MAX {
            self.exceptions.push(exception);
        } else {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// `devices.list`
    pub fn show(&self) -> String {
        if self.allows_all {
            return "a *:* rwm\n".to_owned();
        }
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        let line = |e: &Exception| {
            let letters = [
                (DeviceRule::READ, 'r'),
                (DeviceRule::WRITE, 'w'),
                (DeviceRule::MKNOD, 'm'),
            ];
            let access: String = letters
                .iter()
                .filter(|(bit, _)| e.access & bit != 0)
                .map(|l| l.1)
                .collect();
            let kind = if e.block { 'b' } else { 'c' };
            format!("{kind} {}:{} {access}\n", number(e.major), number(e.minor))
        };
        self.exceptions.iter().map(line).collect()
    }
}

fn parse(text: &str) -> Result<Line> {
    let mut words = text.split([' ', '\t']);
    let block = match words.next() {
        Some(all) if all.starts_with('a') => return Ok(Line::All),
        Some("b") => true,
        Some("c") => false,
        _ => return Err(Errno::EINVAL),
    };
    let (major, minor) = words.next().and_then(|w| w.split_once(':')).ok_or(Errno::EINVAL)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| Errno::EINVAL),
    };
    let letters = words.next().ok_or(Errno::EINVAL)?;
    let mut access = 0;
    // Linux looks at three.
    for letter in letters.chars().take(3) {
        access |= match letter {
            'r' => DeviceRule::READ,
            'w' => DeviceRule::WRITE,
            'm' => DeviceRule::MKNOD,
            _ => return Err(Errno::EINVAL),
        };
    }
    Ok(Line::Some(Exception {
        block,
        major: number(major)?,
        minor: number(minor)?,
        access,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> DeviceList {
        DeviceList::new(&[])
    }

    #[test]
    fn lines() {
        let mut list = all();
        assert_eq!(list.show(), "a *:* rwm\n");
        list.write(false, "a", &all(), false).unwrap();
        assert_eq!(list.show(), "");
        list.write(true, "c 1:3 mr", &all(), false).unwrap();
        list.write(true, "b *:* m", &all(), false).unwrap();
        assert_eq!(list.show(), "c 1:3 rm\nb *:* m\n");
        assert!(list.allows(false, 1, 3, DeviceRule::READ));
        assert!(!list.allows(false, 1, 3, DeviceRule::WRITE));
        assert!(list.allows(true, 8, 0, DeviceRule::MKNOD));
        list.write(false, "c 1:3 r", &all(), false).unwrap();
        assert_eq!(list.show(), "c 1:3 m\nb *:* m\n");
        for wrong in ["", "c", "c 1", "c 1:3", "c 1:3 x", "d 1:3 r", "c a:b r"] {
            assert_eq!(list.write(true, wrong, &all(), false), Err(Errno::EINVAL), "{wrong:?}");
        }
    }

    #[test]
    fn no_more_than_above() {
        let mut above = all();
        above.write(false, "a", &all(), false).unwrap();
        above.write(true, "c 1:* rw", &all(), false).unwrap();
        let mut list = above.clone();
        assert_eq!(list.write(true, "a", &above, false), Err(Errno::EPERM));
        assert_eq!(list.write(true, "c 1:3 m", &above, false), Err(Errno::EPERM));
        list.write(false, "c 1:* rw", &above, false).unwrap();
        list.write(true, "c 1:3 r", &above, false).unwrap();
        assert_eq!(list.show(), "c 1:3 r\n");
    }
}
