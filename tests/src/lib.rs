//! Harness of the syscall test programs: each case runs in a forked child of its own, results are TAP lines.
//!
//! The kernel under test may be half broken, so the harness needs little of it: fork, wait4, pipe, write, alarm, kill.

mod cases;
mod check;
pub mod prelude;
mod process;
mod thread;

pub use cases::main;

/// Declares the cases of a family and its `main`. Bodies are unsafe: they are system calls from end to end.
#[macro_export]
macro_rules! cases {
    ($(fn $name:ident() $body:block)*) => {
        $(
            #[allow(unused_unsafe)]
            fn $name() { unsafe { $body } }
        )*
        fn main() {
            $crate::main(&[$((stringify!($name), $name as fn())),*]);
        }
    };
}
