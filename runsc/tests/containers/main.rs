//! Containers as people and engines handle them. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test may fail it"
)]

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod host;
mod lifecycle;
mod verbs;
mod view;
