//! Bytes that a stream has received and nobody has read yet, with the urgent mark.

use std::collections::VecDeque;

/// Small writes share an allocation of this size, so that bytes cost about what they weigh.
const CHUNK_MIN: usize = 512;

/// A run of bytes.
pub(super) struct Chunk {
    data: Vec<u8>,
    pos: usize,
}

impl Chunk {
    /// Of fresh bytes; room is left behind few.
    pub(super) fn new(data: Vec<u8>) -> Chunk {
        Chunk { data, pos: 0 }
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.data.get(self.pos..).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.pos = self.pos.saturating_add(n).min(self.data.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pos >= self.data.len()
    }
}

/// The urgent byte (`tcp_sock.urg_data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Urgent {
    /// Its place in the stream.
    pub(super) seq: u64,
    /// Its value, until read by `MSG_OOB`.
    pub(super) byte: Option<u8>,
}

/// The receive queue.
#[derive(Default)]
pub(super) struct Rx {
    chunks: VecDeque<Chunk>,
    /// Place in the stream of the next byte to read.
    pub(super) read_seq: u64,
    /// Place behind the last byte received.
    pub(super) end_seq: u64,
    pub(super) urgent: Option<Urgent>,
}

impl Rx {
    /// Adds bytes.
    pub(super) fn push(&mut self, data: Vec<u8>) {
        self.end_seq = self.end_seq.wrapping_add(abi::conv::usize64(data.len()));
        if let Some(last) = self.chunks.back_mut()
            && data.len() <= CHUNK_MIN
            && last.data.capacity() - last.data.len() >= data.len()
        {
            last.data.extend_from_slice(&data);
            return;
        }
        let mut data = data;
        if data.len() < CHUNK_MIN && !self.chunks.is_empty() {
            data.reserve_exact(CHUNK_MIN - data.len());
        }
        self.chunks.push_back(Chunk::new(data));
    }

    /// The last byte received, if it is still there.
    pub(super) fn last_byte(&self) -> Option<u8> {
        self.chunks.back()?.data.last().copied()
    }

    /// Takes the first run out, for its reader to copy without the lock.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Puts back what was not read.
    pub(super) fn unpop(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.chunks.push_front(chunk);
        }
    }

    /// Bytes to the urgent mark, if it lies ahead.
    pub(super) fn to_mark(&self) -> Option<usize> {
        let ahead = self.urgent?.seq.checked_sub(self.read_seq)?;
        usize::try_from(ahead).ok()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.read_seq = self.end_seq;
        self.urgent = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writes_share_a_chunk() {
        let mut rx = Rx::default();
        for i in 0..1000u32 {
            rx.push(vec![u8::try_from(i % 251).unwrap()]);
        }
        assert!(rx.chunks.len() < 10);
        assert_eq!(rx.end_seq, 1000);
        let mut all = Vec::new();
        while let Some(chunk) = rx.pop() {
            all.extend_from_slice(chunk.rest());
        }
        let want: Vec<u8> = (0..1000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        assert_eq!(all, want);
    }

    #[test]
    fn a_part_goes_back_to_the_front() {
        let mut rx = Rx::default();
        rx.push(b"hello".to_vec());
        let mut chunk = rx.pop().unwrap();
        chunk.consume(2);
        rx.unpop(chunk);
        assert_eq!(rx.pop().unwrap().rest(), b"llo");
    }
}
