//! The host's kernel, where it is too old for a sandbox.

use crate::error::Error;

/// Since then a guest process can be given a descriptor with the answer to its notification (`SECCOMP_ADDFD_FLAG_SEND`), and the
/// calls of before are there. What is newer than that has a way around it.
const OLDEST: (u32, u32) = (5, 14);

/// A failed start: where the kernel is too old, that is why, whatever the call was that failed.
pub fn explain(e: Error) -> Error {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if is_old(&release) {
        let (major, minor) = OLDEST;
        return e.context(format!(
            "the host's kernel is Linux {release}, and a sandbox needs {major}.{minor} or newer"
        ));
    }
    e
}

fn is_old(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn releases() {
        for old in ["5.10.0-46-amd64", "5.13", "4.18.0-553.el8.x86_64"] {
            assert!(super::is_old(old), "{old}");
        }
        for new in ["5.14.0-427.el9.x86_64", "6.1.0-56-amd64", "10.0", "unknown", ""] {
            assert!(!super::is_old(new), "{new}");
        }
    }
}
