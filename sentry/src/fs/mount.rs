//! Mounts and mount namespaces.

/// A file system tree at a place (`mount_namespaces(7)`).
pub struct Mount {}

/// The mounts that a set of processes sees.
pub struct MountNamespace {}
