//! Splits texts at an ASCII character. The standard library's search for a pattern costs more for short texts.

/// Splits a text at the first separator.
pub fn split_first(text: &str, separator: u8) -> Option<(&str, &str)> {
    memchr::memchr(separator, text.as_bytes()).map(|at| split(text, at))
}

/// Splits a text at the last separator.
pub fn split_last(text: &str, separator: u8) -> Option<(&str, &str)> {
    memchr::memrchr(separator, text.as_bytes()).map(|at| split(text, at))
}

fn split(text: &str, at: usize) -> (&str, &str) {
    (&text[..at], &text[at + 1..])
}
