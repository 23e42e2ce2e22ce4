//! `#!` lines (`execve(2)`, "Interpreter scripts").

use abi::Errno;
use abi::errno::Result;

pub struct Line {
    pub interpreter: Vec<u8>,
    pub argument: Option<Vec<u8>>,
}

/// The line at the start of a file; none if it does not start with `#!`. `head` are its first 256 bytes (`BINPRM_BUF_SIZE`).
pub fn parse(head: &[u8]) -> Result<Option<Line>> {
    let Some(rest) = head.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let blank = |b: &u8| matches!(*b, b' ' | b'\t');
    let end = rest.iter().position(|&b| b == b'\n' || b == 0);
    // A line that was cut must at least hold the whole interpreter name.
    if end.is_none() {
        let start = rest.iter().position(|b| !blank(b)).ok_or(Errno::ENOEXEC)?;
        let name = rest.get(start..).unwrap_or_default();
        if head.len() >= 256 && !name.iter().any(blank) {
            return Err(Errno::ENOEXEC);
        }
    }
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().trim_ascii();
    if line.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let split = line.iter().position(blank).unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(split);
    let argument = argument.trim_ascii();
    Ok(Some(Line {
        interpreter: interpreter.to_vec(),
        argument: if argument.is_empty() {
            None
        } else {
            Some(argument.to_vec())
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], interpreter: &[u8], argument: Option<&[u8]>) {
        let line = parse(head).unwrap().unwrap();
        assert_eq!(line.interpreter, interpreter);
        assert_eq!(line.argument.as_deref(), argument);
    }

    #[test]
    fn lines_split_once() {
        check(b"#!/bin/sh\n", b"/bin/sh", None);
        check(b"#! /bin/sh -e -x \necho", b"/bin/sh", Some(b"-e -x"));
        check(b"#!/bin/sh", b"/bin/sh", None);
        assert!(parse(b"echo").unwrap().is_none());
        assert!(parse(b"#!\n").is_err());
        assert!(parse(&[b"#!".as_slice(), &[b'a'; 300]].concat()[..256]).is_err());
    }
}
