//! Pipes and fifos (`pipe(7)`).

/// The buffer between writers and readers.
pub struct Pipe {}
