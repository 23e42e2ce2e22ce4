//! Control groups as the guest sees them (`cgroups(7)`): hierarchies of the version that the host has, and in each a tree of
//! groups whose top is the container's own.
//!
//! The container as a whole is a [`crate::task::Cgroup`]. Only a thread that was moved to a group below has a list of
//! [`Groups`]; for all others nothing is kept, and nothing is asked when they fork or end.

mod bytes;
mod choose;
mod devices;
mod group;
mod hierarchy;
mod member;
mod namespace;

pub use crate::fs::impls::cgroup::V2_CONTROLLERS;
pub use bytes::{NO_LIMIT, parse as parse_bytes};
pub use devices::DeviceList;
pub use group::Group;
pub use hierarchy::{Hierarchies, Hierarchy};
pub use member::Groups;
pub use namespace::CgroupNamespace;
