//! Finds the end of a JSON value in blocks of 64 bytes, without looking at its parts.
//!
//! A mask has one bit for each byte of a block, the lowest for the first. The steps are those of "Parsing Gigabytes of JSON per
//! Second" (Langdale and Lemire, 2019).

use wide::u8x16;

use crate::chunk;

const BLOCK: usize = 64;

/// Returns the position behind the bracket that closes an object or a list, given the position behind its opening bracket.
/// Returns `None` if the text ends before it.
///
/// Only strings and brackets are read: other syntax is not checked, and `{` may be closed by `]`.
pub(super) fn end_of_nested(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1;
    let mut escapes = Escapes::default();
    // All ones if the block before ended in a string.
    let mut in_string = 0;
    let mut last = [0; BLOCK];
    loop {
        let block = block(text, at, &mut last)?;
        let strings = inside(escapes.unescaped_quotes(block)) ^ in_string;
        in_string = 0_u64.wrapping_sub(strings >> 63);
        // `[` and `{` differ in bit 0x20 alone, as do `]` and `}`.
        let opening = mask(block, 0x20, b'{') & !strings;
        let closing = mask(block, 0x20, b'}') & !strings;
        if closing.count_ones() < depth {
            depth = depth + opening.count_ones() - closing.count_ones();
        } else {
            let mut brackets = opening | closing;
            while brackets != 0 {
                let lowest = brackets & brackets.wrapping_neg();
                depth = if closing & lowest == 0 { depth + 1 } else { depth - 1 };
                if depth == 0 {
                    return Some(at + lowest.trailing_zeros() as usize + 1);
                }
                brackets ^= lowest;
            }
        }
        at += BLOCK;
    }
}

/// Returns the position behind the quote that closes a string, given a position in the string that is not escaped. Returns
/// `None` if the text ends before it.
pub(super) fn end_of_string(text: &[u8], mut at: usize) -> Option<usize> {
    let mut escapes = Escapes::default();
    let mut last = [0; BLOCK];
    loop {
        let quotes = escapes.unescaped_quotes(block(text, at, &mut last)?);
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize + 1);
        }
        at += BLOCK;
    }
}

/// Returns the block at a position, of which there is none at the end. The last one is copied into `last`, with zeros behind it.
fn block<'t>(text: &'t [u8], at: usize, last: &'t mut [u8; BLOCK]) -> Option<&'t [u8; BLOCK]> {
    let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
    if let Some(block) = rest.first_chunk() {
        return Some(block);
    }
    *last = chunk::padded(rest);
    Some(last)
}

/// Returns the mask of the bytes that are `wanted` once the bits of `ignored` are set.
fn mask(block: &[u8; BLOCK], ignored: u8, wanted: u8) -> u64 {
    let (quarters, _) = block.as_chunks();
    let bits = |quarter: usize| {
        let bytes = u8x16::new(quarters[quarter]) | u8x16::splat(ignored);
        u64::from(bytes.simd_eq(u8x16::splat(wanted)).to_bitmask()) << (16 * quarter)
    };
    bits(0) | bits(1) | bits(2) | bits(3)
}

/// Returns the mask of the bytes from each odd quote on to the next one: the exclusive or of all bits up to a byte.
fn inside(mut quotes: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        quotes ^= quotes << distance;
    }
    quotes
}

/// The escapes of consecutive blocks.
#[derive(Default)]
struct Escapes {
    /// 1 if the first byte of the next block is escaped.
    next: u64,
}

impl Escapes {
    /// Returns the mask of quotes that are not escaped.
    #[inline]
    fn unescaped_quotes(&mut self, block: &[u8; BLOCK]) -> u64 {
        let quotes = mask(block, 0, b'"');
        let backslashes = mask(block, 0, b'\\');
        if backslashes | self.next == 0 { quotes } else { quotes & !self.escaped(backslashes) }
    }

    /// Returns the mask of the bytes that a backslash escapes.
    ///
    /// Every other backslash of a row escapes, from its first one on. A subtraction borrows through a whole row, which leaves every
    /// other bit as wanted if the row starts at an even byte, and the others if at an odd one.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;

        let starting = backslashes & !self.next;
        let alternating = ((starting << 1) | ODD).wrapping_sub(starting) ^ ODD;
        let escaped = alternating ^ (backslashes | self.next);
        self.next = (alternating & backslashes) >> 63;
        escaped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads byte by byte what [`end_of_nested`] and [`end_of_string`] read in blocks. Outside of strings, where JSON has no
    /// backslashes, they escape quotes alone.
    fn simple(text: &[u8], mut in_string: bool) -> Option<usize> {
        let (mut depth, mut is_escaped, is_nested) = (1, false, !in_string);
        for (at, byte) in text.iter().enumerate() {
            let was_escaped = is_escaped;
            is_escaped = *byte == b'\\' && !was_escaped;
            match byte {
                b'"' if was_escaped => {}
                b'"' if !is_nested => return Some(at + 1),
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => depth += 1,
                b']' | b'}' if !in_string => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(at + 1);
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn blocks_end_where_bytes_do(text in r#"([\[\]{}"\\,:é]|a{1,70}|\\{1,70}|[\[{]{1,70}){0,60}"#) {
            prop_assert_eq!(end_of_nested(text.as_bytes(), 0), simple(text.as_bytes(), false));
            prop_assert_eq!(end_of_string(text.as_bytes(), 0), simple(text.as_bytes(), true));
        }
    }
}
