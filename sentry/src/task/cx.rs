//! What the future of a task owns: the way into guest code and state that nobody else looks at.

use std::sync::Arc;

use platform::Context;

use super::Task;
use crate::mm::Mm;

/// The running side of a task. Handlers get `&mut Cx`.
pub struct Cx {
    /// The side that others see.
    pub task: Arc<Task>,
    /// Guest registers and the way into guest code.
    pub ctx: Box<dyn Context>,
    /// The memory that guest code of this task runs in.
    pub mm: Arc<Mm>,
}
