//! The wire format between Sentry and Gofer.
//!
//! One message is one packet of a `SOCK_SEQPACKET` socket: a header, the fixed structure of its operation, and trailing
//! bytes (names, values). Integers are little-endian. A request has one reply, but `Forget`, which has none. A reply may carry
//! one file descriptor. Both sides check every length before use; neither trusts the other.

pub mod attr;
pub mod message;
pub mod name;
pub mod transport;
pub mod wire;

pub use attr::{Attr, Time};
pub use message::{Op, ReplyHeader, RequestHeader};

/// The longest message of either direction: the largest extended attribute Linux allows (64 KiB) and a page for the rest.
pub const MAX_MESSAGE: usize = 64 * 1024 + 4096;
/// The most names in one `Walk`: the reply, an attribute block for each, must fit one message.
pub const MAX_WALK: usize = 128;
/// The longest value of an extended attribute (`XATTR_SIZE_MAX`), and the longest list of names (`XATTR_LIST_MAX`).
pub const MAX_XATTR: usize = 64 * 1024;
/// The longest target of a symbolic link, without the NUL (`PATH_MAX - 1`).
pub const MAX_LINK_TARGET: usize = 4095;
/// The most nodes in one `Forget`.
pub const MAX_FORGET: usize = 1024;
