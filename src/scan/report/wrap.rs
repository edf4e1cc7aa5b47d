//! Wraps lines that are too long for a terminal.

/// Wraps a line between words, else after separators in an image, else
/// anywhere. Later lines are indented by `indent`.
pub fn wrap(line: &str, width: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut rest: Vec<char> = line.chars().collect();
    let mut room = width.max(1);
    while rest.len() > room {
        let is_space = |index: &usize| rest[index - 1] == ' ' || rest[*index] == ' ';
        let is_separator = |index: &usize| matches!(rest[index - 1], '/' | ',' | '@');
        // A half-empty line is harder to read than a broken word.
        let space = (room * 2 / 3 + 1..=room).rev().find(is_space);
        let end = space.or_else(|| (room / 2 + 1..=room).rev().find(is_separator)).unwrap_or(room);
        let next = rest.split_off(end);
        wrapped.push_str(rest.iter().collect::<String>().trim_end());
        wrapped.push('\n');
        wrapped.extend(std::iter::repeat_n(' ', indent));
        rest = next.into_iter().skip_while(|c| *c == ' ').collect();
        room = width.saturating_sub(indent).max(1);
    }
    wrapped.extend(rest);
    wrapped
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_where_it_makes_sense() {
        assert_eq!(wrap("short", 5, 2), "short");
        assert_eq!(wrap("one two three", 8, 2), "one two\n  three");
        assert_eq!(wrap("a.io/bb/cc:1", 8, 1), "a.io/bb/\n cc:1");
        assert_eq!(wrap("0123456789abcdef", 6, 2), "012345\n  6789\n  abcd\n  ef");
        assert_eq!(wrap("", 0, 9), "");
        assert_eq!(wrap("ab", 0, 9), "a\n         b");
    }
}
