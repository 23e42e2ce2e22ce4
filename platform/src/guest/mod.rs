//! What every platform with host processes for guest processes shares: the stub's image, its layout and its filter.

pub(crate) mod drive;
pub mod filter;
pub(crate) mod fpu;
pub mod image;
pub(crate) mod inflight;
pub(crate) mod kick;
/// The border between stub and Sentry, compiled into both.
#[path = "../../stub/src/stub_abi.rs"]
#[expect(dead_code, reason = "some constants are for the stub's side")]
pub(crate) mod layout;
pub(crate) mod memop;
pub(crate) mod process;
pub mod procfs;
mod vdso;
pub(crate) mod zygote;
