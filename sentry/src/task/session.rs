//! Process groups and sessions (`credentials(7)`), as objects; who is in which is in the table.

use std::any::Any;
use std::sync::Arc;

use super::pid::Pid;
use crate::sync::Mutex;

/// A terminal as the session that it controls sees it.
pub trait ControllingTty: Any + Send + Sync {
    /// Foreground process group (number in the first pid namespace).
    fn foreground(&self) -> Option<i32>;

    /// The session's leader ended or gave the terminal up: it controls no session any more.
    fn disassociate(&self);

    /// Everybody who has it open finds it gone (`vhangup(2)`).
    fn vhangup(&self);

    /// Device number, for `/proc/PID/stat`.
    fn device(&self) -> u64;

    /// For `downcast_ref` by the terminal itself.
    fn as_any(&self) -> &dyn Any;
}

/// A session (`setsid(2)`).
pub struct Session {
    /// Its id: the pid of the process that made it.
    pub pid: Arc<Pid>,
    /// Its controlling terminal.
    pub tty: Mutex<Option<Arc<dyn ControllingTty>>>,
}

/// A process group (`setpgid(2)`).
pub struct ProcessGroup {
    /// Its id: the pid of the process that made it.
    pub pid: Arc<Pid>,
    /// The session that it belongs to, for ever.
    pub session: Arc<Session>,
}
