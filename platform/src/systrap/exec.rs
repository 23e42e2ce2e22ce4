//! A fresh process for `execve(2)`.
//!
//! The old process is never used again: its stub, its signal frames and its fds may be in the hands of guest code that the
//! new program, perhaps with more rights, must not meet.

use std::sync::Arc;
use std::task::{Context, Poll};

use abi::Errno;
use abi::errno::Result;

use super::context::SysContext;
use super::hub::Hub;
use crate::BoxFuture;

/// A fork of the zygote under way.
pub(super) struct Exec(BoxFuture<'static, Result<SysContext>>);

impl Exec {
    pub(super) fn start(hub: &Arc<Hub>) -> Result<Exec> {
        let zygote = hub.zygote.lock().upgrade().ok_or(Errno::EAGAIN)?;
        Ok(Exec(Box::pin(async move { super::fork(&zygote).await })))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<SysContext>> {
        self.0.as_mut().poll(cx)
    }
}
