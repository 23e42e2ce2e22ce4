//! `state.rs` on ptrace.

#[path = "state.rs"]
mod state;
