//! Mount options (`proc(5)`).

use std::sync::Arc;

use abi::Errno;
use abi::errno::Result;

use crate::task::{Task, may_inspect};

/// What of others' processes is kept from a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HidePid {
    Nothing,
    /// What is in their directories.
    Contents,
    /// That they are there.
    Names,
    /// That they are there, from all who may not trace them, whatever their group.
    Untraceable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub hide: HidePid,
    /// Members see everything.
    pub gid: u32,
    /// Nothing but processes.
    pub pids_only: bool,
}

impl Options {
    /// `EINVAL` for what Linux does not know.
    pub(super) fn parse(data: &[u8]) -> Result<Options> {
        let mut options = Options {
            hide: HidePid::Nothing,
            gid: 0,
            pids_only: false,
        };
        let data = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        for option in data.split(',').filter(|o| !o.is_empty()) {
            match option.split_once('=') {
                Some(("hidepid", value)) => {
                    options.hide = match value {
                        "0" | "off" => HidePid::Nothing,
                        "1" | "noaccess" => HidePid::Contents,
                        "2" | "invisible" => HidePid::Names,
                        "4" | "ptraceable" => HidePid::Untraceable,
                        _ => return Err(Errno::EINVAL),
                    };
                }
                Some(("gid", value)) => options.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                Some(("subset", "pid")) => options.pids_only = true,
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    /// For `/proc/mounts`.
    pub(super) fn show(self) -> String {
        let mut text = String::new();
        if self.gid != 0 {
            text.push_str(&format!(",gid={}", self.gid));
        }
        match self.hide {
            HidePid::Nothing => {}
            HidePid::Contents => text.push_str(",hidepid=noaccess"),
            HidePid::Names => text.push_str(",hidepid=invisible"),
            HidePid::Untraceable => text.push_str(",hidepid=ptraceable"),
        }
        if self.pids_only {
            text.push_str(",subset=pid");
        }
        text
    }

    /// Whether the reader may look into the task's directory.
    pub(super) fn opens(self, reader: &Arc<Task>, task: &Arc<Task>) -> bool {
        match self.hide {
            HidePid::Nothing => true,
            HidePid::Untraceable => may_inspect(reader, task),
            HidePid::Contents | HidePid::Names => {
                let cred = reader.cred();
                cred.egid == self.gid || cred.groups.contains(&self.gid) || may_inspect(reader, task)
            }
        }
    }

    /// Whether the reader may know of the task.
    pub(super) fn shows(self, reader: Option<&Arc<Task>>, task: &Arc<Task>) -> bool {
        match (self.hide, reader) {
            (HidePid::Nothing | HidePid::Contents, _) | (_, None) => true,
            (_, Some(reader)) => self.opens(reader, task),
        }
    }
}
