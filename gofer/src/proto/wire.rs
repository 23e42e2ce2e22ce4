//! Reading and writing the parts of a message, length-checked.

use abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A cursor over a received message. Whatever is missing is `EPROTO`.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Copies out a fixed structure.
    pub fn fixed<T: FromBytes>(&mut self) -> Result<T, Errno> {
        let (value, rest) = T::read_from_prefix(self.rest).map_err(|_| Errno::EPROTO)?;
        self.rest = rest;
        Ok(value)
    }

    /// Takes `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Errno> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Errno::EPROTO)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes a name written by [`put_name`].
    pub fn name(&mut self) -> Result<&'a [u8], Errno> {
        let len: u16 = self.fixed()?;
        self.bytes(usize::from(len))
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Ends the message: left-over bytes are a protocol error.
    pub const fn end(&self) -> Result<(), Errno> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Errno::EPROTO)
        }
    }
}

/// Appends a fixed structure.
pub fn put<T: IntoBytes + Immutable>(out: &mut Vec<u8>, value: &T) {
    out.extend_from_slice(value.as_bytes());
}

/// Appends a name with its length in front. A name too long for the length field is cut: the server then refuses it.
pub fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    put(out, &len);
    out.extend_from_slice(name.get(..usize::from(len)).unwrap_or(name));
}
