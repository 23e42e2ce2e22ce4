//! The file systems: one folder and one line each.

pub mod cgroup;
pub mod dev;
pub mod devpts;
pub mod gofer;
pub mod hostfd;
pub mod mqueue;
pub mod overlay;
pub mod proc;
pub mod pseudo;
pub mod sysfs;
pub mod tmpfs;

pub(crate) use proc::pid::ns::ns_file;
pub(crate) use proc::pid::process_of;

use super::super_block::FsType;

/// All types that `mount(2)` knows, by name.
pub fn registry() -> &'static [&'static dyn FsType] {
    &[
        &proc::ProcFsType,
        &sysfs::SysFsType,
        &tmpfs::TmpFsType,
        &devpts::DevPtsFsType,
        &mqueue::MqueueFsType,
        &cgroup::Cgroup2FsType,
        &cgroup::CgroupFsType,
    ]
}
