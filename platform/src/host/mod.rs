//! The one layer through which the workspace calls the host kernel where `rustix` has no safe call.

#[expect(unsafe_code, reason = "ownership of descriptors known by number")]
pub mod inherited;
#[expect(unsafe_code, reason = "one system call that rustix lacks")]
pub mod mount;
#[expect(unsafe_code, reason = "clone3 and what a child may do before its exec")]
pub mod spawn;
