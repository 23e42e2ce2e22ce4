//! From rules to instructions: a binary search for the call's number, then the rules of that call in order.

use std::collections::BTreeMap;

use sentry::task::seccomp::action;

/// One instruction: code, jump if true, jump if false, operand.
pub type Insn = (u16, u8, u8, u32);

/// Longest program (`BPF_MAXINSNS`).
const MAX: usize = 4096;
const ENOSYS: u32 = 38;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_ABOVE: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

pub(super) struct Profile {
    pub default: u32,
    pub rules: Vec<Rule>,
}

/// All conditions met: the verdict.
#[derive(Clone)]
pub(super) struct Rule {
    pub nr: u32,
    pub conditions: Vec<Condition>,
    pub verdict: u32,
}

#[derive(Clone, Copy)]
enum Test {
    /// The bits of the mask are those of the value.
    Masked(u64),
    Above,
    AtLeast,
}

/// A test of one argument.
#[derive(Clone, Copy)]
pub(super) struct Condition {
    index: u32,
    test: Test,
    value: u64,
    negated: bool,
}

impl Condition {
    pub(super) fn masked(index: u32, mask: u64, value: u64) -> Self {
        Self::new(index, Test::Masked(mask), value)
    }

    pub(super) fn above(index: u32, value: u64) -> Self {
        Self::new(index, Test::Above, value)
    }

    pub(super) fn at_least(index: u32, value: u64) -> Self {
        Self::new(index, Test::AtLeast, value)
    }

    fn new(index: u32, test: Test, value: u64) -> Self {
        Self {
            index,
            test,
            value,
            negated: false,
        }
    }

    pub(super) fn not(self) -> Self {
        Self {
            negated: !self.negated,
            ..self
        }
    }

    /// Falls out at its end if it is met; else jumps over `rest` further instructions.
    fn emit(self, rest: u8) -> Vec<Insn> {
        let (high, low) = halves(self.value);
        let low_at = 16 + 8 * self.index;
        let (to_high, to_low) = ((LOAD, 0, 0, low_at + 4), (LOAD, 0, 0, low_at));
        // (how many instructions to skip when the test is true, and when it is false) from the last one.
        let (yes, no) = if self.negated { (rest, 0) } else { (0, rest) };
        match self.test {
            Test::Masked(mask) => {
                let (mask_high, mask_low) = halves(mask);
                vec![
                    to_high,
                    (AND, 0, 0, mask_high),
                    // After it: load, and, compare.
                    (IF_EQUAL, 0, no + 3, high),
                    to_low,
                    (AND, 0, 0, mask_low),
                    (IF_EQUAL, yes, no, low),
                ]
            }
            test => vec![
                to_high,
                // After it: compare, load, compare.
                (IF_ABOVE, yes + 3, 0, high),
                (IF_EQUAL, 0, no + 2, high),
                to_low,
                (
                    if matches!(test, Test::Above) {
                        IF_ABOVE
                    } else {
                        IF_AT_LEAST
                    },
                    yes,
                    no,
                    low,
                ),
            ],
        }
    }
}

/// Upper and lower half.
fn halves(value: u64) -> (u32, u32) {
    (abi::conv::low32(value >> 32), abi::conv::low32(value))
}

/// A range of calls from this number on, and what becomes of them.
struct Range {
    from: u32,
    code: Vec<Insn>,
}

/// None if it gets too long.
pub(super) fn compile(profile: &Profile) -> Option<Vec<Insn>> {
    let mut by_call: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
    for rule in profile.rules.iter().filter(|r| r.verdict != profile.default) {
        by_call.entry(rule.nr).or_default().push(rule);
    }
    let newest = profile.rules.iter().map(|r| r.nr).max();
    let mut ranges: Vec<Range> = Vec::new();
    let mut push = |from: u32, code: Vec<Insn>| {
        if ranges.last().is_none_or(|last| last.code != code) {
            ranges.push(Range { from, code });
        }
    };
    let give = |verdict: u32| vec![(RETURN, 0, 0, verdict)];
    push(0, give(profile.default));
    for (nr, rules) in &by_call {
        push(*nr, call(rules, profile.default));
        push(nr.saturating_add(1), give(profile.default));
    }
    // Calls younger than the profile do not exist, so that programs fall back on what it knows: runc's custom.
    let strict = !matches!(profile.default & action::MASK, action::ALLOW | action::LOG);
    if let (true, Some(newest)) = (strict, newest) {
        push(newest.saturating_add(1), give(action::ERRNO | ENOSYS));
    }
    // A call that is followed by the next one leaves an empty range between them.
    let mut kept: Vec<Range> = Vec::new();
    for range in ranges {
        if kept.last().is_some_and(|last| last.from == range.from) {
            kept.pop();
        }
        kept.push(range);
    }
    let mut program = vec![(LOAD, 0, 0, 0)];
    program.extend(search(&kept)?);
    (program.len() <= MAX).then_some(program)
}

/// The rules of one call: those with conditions first, as listed.
fn call(rules: &[&Rule], default: u32) -> Vec<Insn> {
    let mut code = Vec::new();
    for rule in rules.iter().filter(|r| !r.conditions.is_empty()) {
        // From the end, since each jumps over what follows: the later conditions and the verdict.
        let mut block = vec![(RETURN, 0, 0, rule.verdict)];
        for condition in rule.conditions.iter().rev() {
            // Six conditions of six instructions at most: it fits.
            let rest = u8::try_from(block.len()).unwrap_or(u8::MAX);
            let mut before = condition.emit(rest);
            before.append(&mut block);
            block = before;
        }
        code.append(&mut block);
    }
    let last = rules
        .iter()
        .find(|r| r.conditions.is_empty())
        .map_or(default, |r| r.verdict);
    code.push((RETURN, 0, 0, last));
    code
}

/// A tree of comparisons; the number is in the accumulator.
fn search(ranges: &[Range]) -> Option<Vec<Insn>> {
    if let [one] = ranges {
        return Some(one.code.clone());
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let middle = right.first()?.from;
    let (mut left, mut right) = (search(left)?, search(right)?);
    let over = u32::try_from(left.len()).ok()?;
    // Through a plain jump: a conditional one reaches 255 instructions only.
    let mut code = vec![(IF_AT_LEAST, 0, 1, middle), (JUMP, 0, 0, over)];
    code.append(&mut left);
    code.append(&mut right);
    (code.len() <= MAX).then_some(code)
}

#[cfg(test)]
mod tests {
    use sentry::task::seccomp::{Insn as Bpf, Program};

    use super::*;

    const ALLOW: u32 = action::ALLOW;
    const EPERM: u32 = action::ERRNO | 1;

    fn run(profile: &Profile, nr: u32, args: [u64; 6]) -> u32 {
        let insns = compile(profile).unwrap();
        let insns = insns.iter().map(|&(code, jt, jf, k)| Bpf { code, jt, jf, k }).collect();
        let program = Program::new(insns).expect("the kernel takes it");
        let mut data = [0u32; 16];
        data[0] = nr;
        for (i, arg) in args.iter().enumerate() {
            (data[5 + 2 * i], data[4 + 2 * i]) = halves(*arg);
        }
        program.run(&data)
    }

    fn rule(nr: u32, conditions: Vec<Condition>, verdict: u32) -> Rule {
        Rule {
            nr,
            conditions,
            verdict,
        }
    }

    #[test]
    fn numbers() {
        let rules = (0..400)
            .filter(|nr| nr % 3 == 0)
            .map(|nr| rule(nr, vec![], ALLOW))
            .collect();
        let profile = Profile { default: EPERM, rules };
        for nr in 0..399 {
            let wanted = if nr % 3 == 0 { ALLOW } else { EPERM };
            assert_eq!(run(&profile, nr, [0; 6]), wanted, "{nr}");
        }
        for nr in [400, 401, 1000, 0x4000_0000, u32::MAX] {
            assert_eq!(run(&profile, nr, [0; 6]), action::ERRNO | ENOSYS, "{nr}");
        }
    }

    #[test]
    fn conditions() {
        let big = 0x1_0000_0005u64;
        let values = [0, 4, 5, 6, big - 1, big, big + 1, 0x2_0000_0000, u64::MAX];
        for value in [5, big] {
            for x in values {
                let args = [0, 0, x, 0, 0, 0];
                let met = |c: Condition| {
                    let profile = Profile {
                        default: ALLOW,
                        rules: vec![rule(7, vec![c], EPERM)],
                    };
                    run(&profile, 7, args) == EPERM
                };
                assert_eq!(met(Condition::masked(2, u64::MAX, value)), x == value);
                assert_eq!(met(Condition::masked(2, u64::MAX, value).not()), x != value);
                assert_eq!(met(Condition::above(2, value)), x > value, "{x:x} > {value:x}");
                assert_eq!(met(Condition::above(2, value).not()), x <= value);
                assert_eq!(met(Condition::at_least(2, value)), x >= value);
                assert_eq!(met(Condition::at_least(2, value).not()), x < value);
                assert_eq!(met(Condition::masked(2, 0x1_0000_0001, 1)), x & 0x1_0000_0001 == 1);
            }
        }
    }

    #[test]
    fn together() {
        let both = vec![Condition::above(0, 9), Condition::masked(5, u64::MAX, 1).not()];
        let profile = Profile {
            default: EPERM,
            rules: vec![
                rule(3, both, action::TRAP),
                rule(3, vec![Condition::masked(0, u64::MAX, 1)], action::LOG),
                rule(3, vec![], ALLOW),
                rule(4, vec![Condition::masked(0, u64::MAX, 1)], ALLOW),
            ],
        };
        assert_eq!(run(&profile, 3, [10, 0, 0, 0, 0, 0]), action::TRAP);
        assert_eq!(run(&profile, 3, [10, 0, 0, 0, 0, 1]), ALLOW);
        assert_eq!(run(&profile, 3, [1, 0, 0, 0, 0, 0]), action::LOG);
        assert_eq!(run(&profile, 4, [1, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(run(&profile, 4, [2, 0, 0, 0, 0, 0]), EPERM);
    }
}
