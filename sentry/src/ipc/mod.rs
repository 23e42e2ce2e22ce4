//! Inter-process communication other than sockets: pipes, futexes, eventfd, System V and POSIX objects.

pub mod pipe;
