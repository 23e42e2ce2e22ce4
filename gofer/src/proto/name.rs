//! Names of directory entries: what a client may ask for.

use abi::Errno;

/// Like Linux's `NAME_MAX`.
pub const NAME_MAX: usize = 255;

/// Accepts a name that can only mean an entry of the directory itself: no slash, no `.` or `..`, no NUL, 1 to 255 bytes.
pub fn check(name: &[u8]) -> Result<&[u8], Errno> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if name.is_empty() || name == b"." || name == b".." || name.iter().any(|&b| b == b'/' || b == 0) {
        return Err(Errno::EINVAL);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_plain_names_pass() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", &[b'x'; 256]] {
            check(bad).unwrap_err();
        }
        for good in [&b"a"[..], b"...", b".a", b"..a", &[b'x'; 255], b"\xff\n"] {
            assert_eq!(check(good).unwrap(), good);
        }
    }
}
