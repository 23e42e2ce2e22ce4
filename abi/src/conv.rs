//! Integer conversions that say what they mean, so that no `as` is needed on guest values.

/// The low 32 bits, as Linux takes an `int` or `unsigned int` argument from a register.
pub const fn low32(v: u64) -> u32 {
    let [a, b, c, d, ..] = v.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The low 32 bits as a C `int`.
pub const fn int(v: u64) -> i32 {
    low32(v).cast_signed()
}

/// The low 16 bits.
pub const fn low16(v: u64) -> u16 {
    let [a, b, ..] = v.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The low 8 bits.
pub const fn low8(v: u64) -> u8 {
    let [a, ..] = v.to_le_bytes();
    a
}

/// A byte count as a register value.
pub const fn usize64(v: usize) -> u64 {
    // x86-64 and aarch64 have 64-bit pointers: nothing is lost.
    v as u64
}

/// A register value as a byte count. Sound for the 64-bit targets that the workspace builds for.
#[allow(clippy::cast_possible_truncation, reason = "usize is 64 bits on every target")]
pub const fn size(v: u64) -> usize {
    v as usize
}

const _: () = assert!(usize::BITS == 64, "the Sentry runs on 64-bit hosts only");
