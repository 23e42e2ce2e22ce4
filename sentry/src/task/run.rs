//! The life of a task: run guest code, serve what it traps with, deliver signals, end.
