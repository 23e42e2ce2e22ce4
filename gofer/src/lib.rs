//! The Gofer: the only process of a sandbox that can name the container's files.
//!
//! [`proto`] is the wire format, [`server`] the process's body, [`client`] the typed calls that the Sentry makes, and
//! [`harden`] what the process gives up before it reads its first message.

#![forbid(unsafe_code)]

pub mod client;
pub mod harden;
pub mod proto;
pub mod server;

pub use client::Client;
pub use server::{MountConfig, ServerConfig, serve};
