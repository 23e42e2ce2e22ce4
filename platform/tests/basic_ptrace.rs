//! `basic.rs` on ptrace.

#[path = "basic.rs"]
mod basic;
