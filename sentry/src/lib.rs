//! The Sentry: a Linux kernel as an ordinary process.

pub mod boot;
