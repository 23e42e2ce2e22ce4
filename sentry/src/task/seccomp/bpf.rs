//! Classic BPF as `seccomp(2)` allows it: checked once, then run on 64 bytes that describe a call.

use abi::Errno;
use abi::errno::Result;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct sock_filter`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Insn {
    /// What to do.
    pub code: u16,
    /// Instructions to skip if true.
    pub jt: u8,
    /// Instructions to skip if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Longest program (`BPF_MAXINSNS`).
pub const MAX_INSNS: usize = 4096;
/// Bytes of `struct seccomp_data`.
pub const DATA_SIZE: u32 = 64;
const MEM_WORDS: u32 = 16;

const LD_ABS: u16 = 0x20;
const LD_LEN: u16 = 0x80;
const LDX_LEN: u16 = 0x81;
const LD_IMM: u16 = 0x00;
const LDX_IMM: u16 = 0x01;
const LD_MEM: u16 = 0x60;
const LDX_MEM: u16 = 0x61;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const RET_K: u16 = 0x06;
const RET_A: u16 = 0x16;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const NEG: u16 = 0x84;
const JA: u16 = 0x05;

/// The operand is X, not K.
const SRC_X: u16 = 0x08;

const ADD: u16 = 0x04;
const SUB: u16 = 0x14;
const MUL: u16 = 0x24;
const DIV: u16 = 0x34;
const OR: u16 = 0x44;
const AND: u16 = 0x54;
const LSH: u16 = 0x64;
const RSH: u16 = 0x74;
const XOR: u16 = 0xa4;

const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;

/// A program that was checked: every jump lands inside it, and it ends.
#[derive(Debug)]
pub struct Program {
    insns: Vec<Insn>,
}

impl Program {
    /// `EINVAL` for what Linux refuses.
    pub fn new(insns: Vec<Insn>) -> Result<Program> {
        if insns.is_empty() || insns.len() > MAX_INSNS {
            return Err(Errno::EINVAL);
        }
        for (at, insn) in insns.iter().enumerate() {
            check(insn, at, insns.len())?;
        }
        match insns.last() {
            Some(last) if matches!(last.code, RET_K | RET_A) => Ok(Program { insns }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Number of instructions.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Runs it on a call; gives `SECCOMP_RET_*` with its data.
    pub fn run(&self, data: &[u32; 16]) -> u32 {
        self.run_on(|word| Some(data.get(word).copied().unwrap_or(0)))
            .unwrap_or(0)
    }

    /// The verdict on a call, if its number and architecture decide it alone.
    pub fn run_on_number(&self, nr: u32, arch: u32) -> Option<u32> {
        self.run_on(|word| match word {
            0 => Some(nr),
            1 => Some(arch),
            _ => None,
        })
    }

    /// None when `load` has no answer.
    fn run_on(&self, load: impl Fn(usize) -> Option<u32>) -> Option<u32> {
        let (mut a, mut x) = (0u32, 0u32);
        let mut mem = [0u32; 16];
        let mut pc = 0usize;
        // Jumps go forward only: this ends.
        while let Some(insn) = self.insns.get(pc) {
            pc += 1;
            let k = insn.k;
            let word = usize::try_from(k).unwrap_or(usize::MAX);
            match insn.code {
                LD_ABS => a = load(word / 4)?,
                LD_LEN => a = DATA_SIZE,
                LDX_LEN => x = DATA_SIZE,
                LD_IMM => a = k,
                LDX_IMM => x = k,
                LD_MEM => a = mem.get(word).copied().unwrap_or(0),
                LDX_MEM => x = mem.get(word).copied().unwrap_or(0),
                ST | STX => {
                    if let Some(slot) = mem.get_mut(word) {
                        *slot = if insn.code == ST { a } else { x };
                    }
                }
                RET_K => return Some(k),
                RET_A => return Some(a),
                TAX => x = a,
                TXA => a = x,
                NEG => a = a.wrapping_neg(),
                JA => pc = pc.saturating_add(word),
                code if code & 7 == 4 => {
                    let operand = if code & SRC_X != 0 { x } else { k };
                    match alu(code & !SRC_X, a, operand) {
                        Some(value) => a = value,
                        None => return Some(0),
                    }
                }
                code => {
                    let operand = if code & SRC_X != 0 { x } else { k };
                    let taken = match code & !SRC_X {
                        JEQ => a == operand,
                        JGT => a > operand,
                        JGE => a >= operand,
                        _ => a & operand != 0,
                    };
                    pc += usize::from(if taken { insn.jt } else { insn.jf });
                }
            }
        }
        Some(0)
    }
}

/// None for a division by zero, which ends the program with 0.
fn alu(op: u16, a: u32, b: u32) -> Option<u32> {
    Some(match op {
        ADD => a.wrapping_add(b),
        SUB => a.wrapping_sub(b),
        MUL => a.wrapping_mul(b),
        DIV => return a.checked_div(b),
        OR => a | b,
        AND => a & b,
        LSH => a.wrapping_shl(b),
        RSH => a.wrapping_shr(b),
        _ => a ^ b,
    })
}

fn check(insn: &Insn, at: usize, len: usize) -> Result<()> {
    let k = insn.k;
    let left = len - at - 1;
    let ok = match insn.code {
        LD_ABS => k < DATA_SIZE && k & 3 == 0,
        LD_LEN | LDX_LEN | LD_IMM | LDX_IMM | RET_K | RET_A | TAX | TXA | NEG => true,
        LD_MEM | LDX_MEM | ST | STX => k < MEM_WORDS,
        JA => usize::try_from(k).is_ok_and(|k| k < left),
        code => match code & !SRC_X {
            ADD | SUB | MUL | OR | AND | XOR => true,
            DIV => code & SRC_X != 0 || k != 0,
            LSH | RSH => code & SRC_X != 0 || k < 32,
            JEQ | JGT | JGE | JSET => usize::from(insn.jt) < left && usize::from(insn.jf) < left,
            _ => false,
        },
    };
    if ok { Ok(()) } else { Err(Errno::EINVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    #[test]
    fn refuses_what_linux_refuses() {
        let bad: [&[Insn]; 6] = [
            &[],
            &[insn(LD_IMM, 0, 0, 1)],
            &[insn(JEQ, 1, 0, 1), insn(RET_K, 0, 0, 0)],
            &[insn(LD_ABS, 0, 0, 62), insn(RET_K, 0, 0, 0)],
            &[insn(DIV, 0, 0, 0), insn(RET_K, 0, 0, 0)],
            &[insn(0x28, 0, 0, 0), insn(RET_K, 0, 0, 0)],
        ];
        for program in bad {
            assert_eq!(Program::new(program.to_vec()).err(), Some(Errno::EINVAL));
        }
    }

    #[test]
    fn branches_on_the_number() {
        let program = Program::new(vec![
            insn(LD_ABS, 0, 0, 0),
            insn(JEQ, 0, 1, 39),
            insn(RET_K, 0, 0, 0x0005_0001),
            insn(RET_K, 0, 0, 0x7fff_0000),
        ]);
        let program = program.unwrap_or_else(|e| unreachable!("{e}"));
        let mut data = [0u32; 16];
        assert_eq!(program.run(&data), 0x7fff_0000);
        data[0] = 39;
        assert_eq!(program.run(&data), 0x0005_0001);
        assert_eq!(program.run_on_number(39, 0), Some(0x0005_0001));
        assert_eq!(program.run_on_number(40, 0), Some(0x7fff_0000));
    }

    #[test]
    fn arguments_may_decide() {
        let program = Program::new(vec![
            insn(LD_ABS, 0, 0, 0),
            insn(JEQ, 0, 2, 39),
            insn(LD_ABS, 0, 0, 16),
            insn(JEQ, 1, 0, 5),
            insn(RET_K, 0, 0, 0x7fff_0000),
            insn(RET_K, 0, 0, 0),
        ]);
        let program = program.unwrap_or_else(|e| unreachable!("{e}"));
        assert_eq!(program.run_on_number(39, 0), None);
        assert_eq!(program.run_on_number(1, 0), Some(0x7fff_0000));
    }
}
