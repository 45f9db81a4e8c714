//! A script: a letter for each step, with operands behind it. Every string of bytes is one.
//!
//! An operand is one octet. Where it chooses, it counts modulo the choices, and the digits of ASCII choose what they say;
//! so a script can be written by hand. What is no letter of a step is a blank.

/// What is left of a script.
#[derive(Clone, Debug)]
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) const fn new(script: &'a [u8]) -> Self {
        Script(script)
    }

    /// The next letter.
    pub(super) fn step(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next operand; 0 behind the end.
    pub(super) fn operand(&mut self) -> u8 {
        self.step().unwrap_or(0)
    }

    /// A number below `n`: the operand's value as a digit, or else what is left of it.
    pub(super) fn choice(&mut self, n: usize) -> usize {
        let operand = usize::from(self.operand().wrapping_sub(b'0'));
        operand.checked_rem(n).unwrap_or(0)
    }

    /// A time: 0 to 9 tenths of a second, and on from there to 25 seconds.
    pub(super) fn tenths(&mut self) -> u64 {
        u64::from(self.operand().wrapping_sub(b'0'))
    }

    /// As many octets as the next operand says.
    pub(super) fn octets(&mut self) -> &'a [u8] {
        let length = usize::from(self.operand()).min(self.0.len());
        let (octets, rest) = self.0.split_at(length);
        self.0 = rest;
        octets
    }
}
