//! Finds the end of a JSON value in blocks of 64 bytes, without looking at its parts.
//!
//! A mask has one bit for each byte of a block. The bits are in columns: a block is read as 8 rows of 8 bytes, and bit `row` of
//! byte `column` stands for the byte at `8 * row + column`. Compilers turn [`mask`] into vector instructions, which the usual
//! order of bits prevents. The steps are those of "Parsing Gigabytes of JSON per Second" (Langdale and Lemire, 2019).

const BLOCK: usize = 64;
/// One bit for each row, in every column.
const COLUMNS: u64 = 0x0101_0101_0101_0101;

/// Returns the position behind the bracket that closes an object or a list, given the position behind its opening bracket.
/// Returns `None` if the text ends before it.
///
/// Only strings and brackets are read: other syntax is not checked, and `{` may be closed by `]`.
pub(super) fn end_of_nested(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1;
    let mut escapes = Escapes::default();
    // All ones if the block before ended in a string.
    let mut in_string = 0;
    loop {
        let block = &block(text, at)?;
        let strings = inside(escapes.unescaped_quotes(block)) ^ in_string;
        in_string = 0_u64.wrapping_sub(strings >> 63);
        // `[` and `{` differ in bit 0x20 alone, as do `]` and `}`.
        let opening = mask(block, 0x20, b'{') & !strings;
        let closing = mask(block, 0x20, b'}') & !strings;
        if closing.count_ones() < depth {
            depth = depth + opening.count_ones() - closing.count_ones();
        } else {
            let closing = in_order(closing);
            let mut brackets = in_order(opening) | closing;
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
    loop {
        let quotes = in_order(escapes.unescaped_quotes(&block(text, at)?));
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize + 1);
        }
        at += BLOCK;
    }
}

/// Returns the block at a position, with zeros behind the end of the text; `None` at the end.
fn block(text: &[u8], at: usize) -> Option<[u8; BLOCK]> {
    let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
    Some(rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    }))
}

/// Returns the mask of the bytes that are `wanted` once the bits of `ignored` are set.
fn mask(block: &[u8; BLOCK], ignored: u8, wanted: u8) -> u64 {
    // Half a block's rows at a time: the second half of 16 bytes is the next row.
    const BITS: [[u8; 16]; 4] = {
        let mut bits = [[0; 16]; 4];
        let mut at = 0;
        while at < BLOCK {
            bits[at / 16][at % 16] = 1 << (at / 8);
            at += 1;
        }
        bits
    };
    let (rows, _) = block.as_chunks::<16>();
    let mut columns = [0; 16];
    for (at, column) in columns.iter_mut().enumerate() {
        let bit = |row: usize| u8::from(rows[row][at] | ignored == wanted).wrapping_neg() & BITS[row][at];
        *column = bit(0) | bit(1) | bit(2) | bit(3);
    }
    let (halves, _) = columns.as_chunks::<8>();
    u64::from_le_bytes(halves[0]) | u64::from_le_bytes(halves[1])
}

/// Returns a mask with its bits in the order of the bytes: the transposed matrix of 8 × 8 bits (Hacker's Delight, 7-3).
fn in_order(mut mask: u64) -> u64 {
    for (distance, swapped) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let differing = (mask ^ (mask >> distance)) & swapped;
        mask ^= differing ^ (differing << distance);
    }
    mask
}

/// Returns the mask of the bytes from each odd quote on to the next one: the exclusive or of all bits up to a byte.
fn inside(mut quotes: u64) -> u64 {
    for distance in [8, 16, 32] {
        quotes ^= quotes << distance;
    }
    // The last column has the parity of each row, which the rows behind it continue.
    let mut rows = (quotes >> 56) << 1;
    for distance in [1, 2, 4] {
        rows ^= rows << distance;
    }
    quotes ^ (rows & 0xff).wrapping_mul(COLUMNS)
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
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let behind = (backslashes << 8) | ((backslashes >> 56) << 1) & 0xff | self.next;
        if backslashes & behind == 0 {
            self.next = backslashes >> 63;
            return behind;
        }
        // A backslash behind another one may be escaped itself.
        let backslashes = in_order(backslashes);
        let mut escaped = self.next;
        for at in 0..63 {
            escaped |= ((backslashes & !escaped) >> at & 1) << (at + 1);
        }
        self.next = (backslashes & !escaped) >> 63;
        in_order(escaped)
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
