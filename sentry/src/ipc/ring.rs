//! A byte ring that grows up to a limit: the buffer of pipes.

use abi::errno::Result;

use crate::fs::io::{Sink, Source};

/// First allocation; most pipes never need more.
const START: usize = 4096;

/// Bytes in order. Storage is made when the first byte comes.
#[derive(Default)]
pub struct Ring {
    buf: Vec<u8>,
    head: usize,
    len: usize,
}

impl Ring {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Makes room for `more` bytes.
    fn grow(&mut self, more: usize) {
        let need = self.len + more;
        if need <= self.buf.len() {
            return;
        }
        let mut new = vec![0u8; need.next_power_of_two().max(START)];
        let (a, b) = self.slices(0, self.len);
        let (to_a, to_b) = new.split_at_mut(a.len());
        to_a.copy_from_slice(a);
        if let Some(to_b) = to_b.get_mut(..b.len()) {
            to_b.copy_from_slice(b);
        }
        self.buf = new;
        self.head = 0;
    }

    /// The `n` bytes from the `skip`th on, in up to two pieces.
    fn slices(&self, skip: usize, n: usize) -> (&[u8], &[u8]) {
        let n = n.min(self.len.saturating_sub(skip));
        let cap = self.buf.len();
        if n == 0 || cap == 0 {
            return (&[], &[]);
        }
        let from = (self.head + skip) % cap;
        let first = n.min(cap - from);
        (
            self.buf.get(from..from + first).unwrap_or_default(),
            self.buf.get(..n - first).unwrap_or_default(),
        )
    }

    /// Takes up to `n` bytes from `src`; gives how many came. An error only if none did.
    pub fn fill(&mut self, src: &mut dyn Source, n: usize) -> Result<usize> {
        let n = n.min(src.remaining());
        if n == 0 {
            return Ok(0);
        }
        self.grow(n);
        let cap = self.buf.len();
        let mut done = 0;
        while done < n {
            let tail = (self.head + self.len) % cap;
            let want = (n - done).min(cap - tail);
            let Some(part) = self.buf.get_mut(tail..tail + want) else {
                break;
            };
            match src.take(part) {
                Ok(got) => {
                    self.len += got;
                    done += got;
                    if got < want {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Gives up to `n` bytes to `dst` and forgets them; an error only if none could be given.
    pub fn drain(&mut self, dst: &mut dyn Sink, n: usize) -> Result<usize> {
        let n = n.min(self.len).min(dst.remaining());
        let (a, b) = self.slices(0, n);
        let mut done = if a.is_empty() { 0 } else { dst.put(a)? };
        if done == a.len() && !b.is_empty() {
            done += match dst.put(b) {
                Ok(more) => more,
                Err(e) if done == 0 => return Err(e),
                Err(_) => 0,
            };
        }
        self.consume(done);
        Ok(done)
    }

    /// Copies up to `n` bytes from the `skip`th on, leaving them there (`tee(2)`).
    pub fn peek(&self, skip: usize, n: usize) -> Vec<u8> {
        let (a, b) = self.slices(skip, n);
        [a, b].concat()
    }

    /// Forgets the first `n` bytes.
    pub fn consume(&mut self, n: usize) {
        let n = n.min(self.len);
        self.len -= n;
        let cap = self.buf.len();
        self.head = if self.len == 0 || cap == 0 {
            0
        } else {
            (self.head + n) % cap
        };
    }

    /// Takes back the last `n` bytes that came.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use crate::fs::io::{SliceSource, VecSink};

    fn put(ring: &mut Ring, data: &[u8]) {
        assert_eq!(ring.fill(&mut SliceSource::new(data), data.len()), Ok(data.len()));
    }

    fn get(ring: &mut Ring, n: usize) -> Vec<u8> {
        let mut sink = VecSink::new(n);
        assert_eq!(ring.drain(&mut sink, n), Ok(sink.data.len()));
        sink.data
    }

    #[test]
    fn keeps_order_across_the_end_and_across_growth() {
        let mut ring = Ring::default();
        put(&mut ring, &[1; 4000]);
        assert_eq!(get(&mut ring, 3990), vec![1; 3990]);
        put(&mut ring, &[2; 200]);
        assert_eq!(ring.peek(8, 4), vec![1, 1, 2, 2]);
        put(&mut ring, &[3; 9000]);
        let all = get(&mut ring, 100_000);
        assert_eq!(all, [vec![1u8; 10], vec![2; 200], vec![3; 9000]].concat());
        assert_eq!(ring.len(), 0);
    }
}
