//! Matchers over what a system call returned.

use std::fmt::Debug;

/// A C return value whose -1 (or `MAP_FAILED`) means "see errno".
pub trait Returned: Copy + Debug {
    fn failed(self) -> bool;
}
impl Returned for i32 {
    fn failed(self) -> bool {
        self == -1
    }
}
impl Returned for i64 {
    fn failed(self) -> bool {
        self == -1
    }
}
impl Returned for isize {
    fn failed(self) -> bool {
        self == -1
    }
}
impl<T> Returned for *mut T {
    fn failed(self) -> bool {
        self as usize == usize::MAX
    }
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Name of the errno, for messages.
fn name(code: i32) -> String {
    std::io::Error::from_raw_os_error(code).to_string()
}

/// The call succeeded; its value.
#[track_caller]
pub fn ok<T: Returned>(value: T) -> T {
    let code = errno();
    assert!(!value.failed(), "failed: {}", name(code));
    value
}

/// The call succeeded with exactly this value.
#[track_caller]
pub fn ok_eq<T: Returned + PartialEq>(value: T, expected: T) {
    let code = errno();
    if value.failed() && value != expected {
        panic!("failed: {}, expected {expected:?}", name(code));
    }
    assert!(value == expected, "returned {value:?}, expected {expected:?}");
}

/// The call failed with this errno.
#[track_caller]
pub fn fails<T: Returned>(expected: i32, value: T) {
    let code = errno();
    assert!(value.failed(), "returned {value:?}, expected {}", name(expected));
    assert!(code == expected, "failed: {}, expected {}", name(code), name(expected));
}

/// Two values are equal.
#[track_caller]
pub fn eq<A: PartialEq<B> + Debug, B: Debug>(left: A, right: B) {
    assert!(left == right, "{left:?} is not {right:?}");
}

/// The condition holds.
#[track_caller]
pub fn yes(condition: bool) {
    assert!(condition, "does not hold");
}
