//! `cost.rs` on ptrace.

#[path = "cost.rs"]
mod cost;
