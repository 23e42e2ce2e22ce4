//! `bounds.rs` on ptrace.

#[path = "bounds.rs"]
mod bounds;
