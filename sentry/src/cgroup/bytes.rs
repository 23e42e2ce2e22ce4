//! Amounts of memory as files of the memory controller have them.

/// What stands for no limit: the most pages that Linux counts, in bytes.
pub const NO_LIMIT: i64 = i64::MAX & !4095;

/// `page_counter_memparse`: bytes, with `k`, `m` or `g`, in whole pages; -1 for no limit.
pub fn parse(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(NO_LIMIT);
    }
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len().checked_sub(1)?)?, 10),
        b'm' | b'M' => (text.get(..text.len().checked_sub(1)?)?, 20),
        b'g' | b'G' => (text.get(..text.len().checked_sub(1)?)?, 30),
        b't' | b'T' => (text.get(..text.len().checked_sub(1)?)?, 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().ok()?;
    let bytes = number.saturating_mul(1 << shift).min(NO_LIMIT.unsigned_abs());
    i64::try_from(bytes & !4095).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_linux_reads_them() {
        for (text, wanted) in [
            ("-1", Some(NO_LIMIT)),
            ("4097", Some(4096)),
            ("64M", Some(64 << 20)),
            ("2g", Some(2 << 30)),
            ("99999999999999999999", None),
            ("18446744073709551615", Some(NO_LIMIT)),
            ("-2", None),
            ("", None),
            ("k", None),
        ] {
            assert_eq!(parse(text), wanted, "{text:?}");
        }
    }
}
