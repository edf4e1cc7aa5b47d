//! Pieces of a fixed number of bytes.

/// Returns bytes with zeros behind them, of which there must be no more than the piece has.
pub fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut piece = [0; N];
    piece[..bytes.len()].copy_from_slice(bytes);
    piece
}

/// Returns the last bytes. If there are fewer, zeros are behind them.
pub fn last<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.last_chunk().copied().unwrap_or_else(|| padded(bytes))
}
