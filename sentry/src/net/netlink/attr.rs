//! Netlink messages and attributes as bytes.

use super::NLMSG_ERROR;
use crate::net::addr::u16_at;

/// `NLM_F_MULTI`
const NLM_F_MULTI: u16 = 2;
/// `NLMSG_DONE`
const NLMSG_DONE: u16 = 3;

/// A message being made.
pub(super) struct Message {
    kind: u16,
    body: Vec<u8>,
}

impl Message {
    /// With the protocol's header.
    pub(super) fn new(kind: u16, header: &[u8]) -> Message {
        Message {
            kind,
            body: header.to_vec(),
        }
    }

    /// End of a dump.
    pub(super) fn done() -> Message {
        Message::new(NLMSG_DONE, &[0; 4])
    }

    /// An error, or with 0 an acknowledgement; the request comes back with an error.
    pub(super) fn error(code: i32, request: &[u8]) -> Message {
        let mut message = Message::new(NLMSG_ERROR, &code.to_ne_bytes());
        let header = request.get(..16).unwrap_or_default();
        message.body.extend_from_slice(if code == 0 { header } else { request });
        message
    }

    /// Adds an attribute.
    pub(super) fn put(&mut self, kind: u16, data: &[u8]) -> &mut Message {
        let len = u16::try_from(data.len() + 4).unwrap_or(u16::MAX);
        self.body.extend_from_slice(&len.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(data);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a 32-bit attribute.
    pub(super) fn put_u32(&mut self, kind: u16, value: u32) -> &mut Message {
        self.put(kind, &value.to_ne_bytes())
    }

    /// With the netlink header.
    pub(super) fn finish(self, seq: u32, port: u32, multi: bool) -> Vec<u8> {
        let len = u32::try_from(self.body.len() + 16).unwrap_or(u32::MAX);
        let mut out = len.to_ne_bytes().to_vec();
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&if multi { NLM_F_MULTI } else { 0 }.to_ne_bytes());
        out.extend_from_slice(&seq.to_ne_bytes());
        out.extend_from_slice(&port.to_ne_bytes());
        out.extend_from_slice(&self.body);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }
}

/// The attribute of that number among those in `bytes`.
pub(super) fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = bytes;
    while rest.len() >= 4 {
        let len = usize::from(u16_at(rest, 0)?);
        // The two highest bits tell of nesting and byte order.
        let kind = u16_at(rest, 2)? & 0x3fff;
        let data = rest.get(4..len)?;
        if kind == wanted {
            return Some(data);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_again() {
        let mut message = Message::new(16, &[0; 4]);
        message.put(3, b"lo\0").put_u32(4, 65536);
        let bytes = message.finish(1, 2, false);
        assert_eq!(bytes.len() % 4, 0);
        let attrs = bytes.get(20..).unwrap();
        assert_eq!(find(attrs, 3), Some(&b"lo\0"[..]));
        assert_eq!(find(attrs, 4), Some(&65536u32.to_ne_bytes()[..]));
        assert_eq!(find(attrs, 5), None);
    }

    #[test]
    fn hostile_lengths_end_the_search() {
        assert_eq!(find(&[0, 0, 1, 0, 9, 9], 2), None);
        assert_eq!(find(&[255, 255, 1, 0], 1), None);
        assert_eq!(find(&[3, 0, 1, 0], 1), None);
    }
}
