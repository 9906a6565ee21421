//! Where reads fall.

/// Cuts bytes into reads, as the first of them says; gives the reads of the rest.
pub(crate) fn cut(bytes: &[u8]) -> Option<(&[u8], impl Iterator<Item = &[u8]>)> {
    let (&plan, input) = bytes.split_first()?;
    Some((
        input,
        Reads {
            plan,
            state: u32::from(plan) | 1,
            rest: input,
        },
    ))
}

struct Reads<'a> {
    plan: u8,
    state: u32,
    rest: &'a [u8],
}

impl<'a> Iterator for Reads<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        // Any sequence does, so long as the same plan gives the same one.
        self.state = self
            .state
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let longest = 1 + usize::from(self.plan % 32);
        let length = 1 + self.state as usize % longest;
        let (read, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(read)
    }
}
