//! `unix(7)`

/// What a socket node of a file system leads to.
pub struct BoundSocket {}
