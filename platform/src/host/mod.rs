//! The one layer through which the workspace calls the host kernel where `rustix` has no safe call.
