//! The type of a scalar, as the API server's reader resolves it (go-yaml v2, `resolve.go`).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// Literal or folded.
    Block,
}

/// The meaning of a scalar's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// No tag: style and text decide.
    Absent,
    String,
    /// A number, a boolean, null, binary data.
    NoString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    String,
    Null,
    /// A boolean, a number, binary data.
    Other,
}

pub(super) fn resolve(text: &str, style: Style, tag: Tag) -> Resolved {
    match (tag, style) {
        (Tag::String, _) => Resolved::String,
        (Tag::NoString, _) => Resolved::Other,
        (Tag::Absent, Style::Plain) => plain(text),
        (Tag::Absent, _) => Resolved::String,
    }
}

/// A plain scalar without a tag.
pub(super) fn plain(text: &str) -> Resolved {
    match text.bytes().next() {
        None => Resolved::Null,
        Some(b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => word(text),
        Some(b'.') => match text {
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" => Resolved::Other,
            _ if is_float(text) => Resolved::Other,
            _ => Resolved::String,
        },
        Some(b'0'..=b'9' | b'+' | b'-') => match text {
            "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => Resolved::Other,
            _ if is_number(&text.replace('_', "")) => Resolved::Other,
            _ => Resolved::String,
        },
        Some(_) => Resolved::String,
    }
}

fn word(text: &str) -> Resolved {
    match text {
        "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" | "n" | "N" | "no" | "No"
        | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Resolved::Other,
        _ => Resolved::String,
    }
}

/// Returns whether a text is an integer in Go's syntax, or a decimal float. Out of range, an integer is a float and a
/// float is a text. Neither is an image.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = |prefixes: [&str; 2], is_digit: fn(&u8) -> bool| {
        prefixes
            .iter()
            .find_map(|prefix| digits.strip_prefix(prefix))
            .is_some_and(|rest| !rest.is_empty() && rest.as_bytes().iter().all(is_digit))
    };
    radix(["0x", "0X"], u8::is_ascii_hexdigit)
        || radix(["0o", "0O"], |digit| matches!(digit, b'0'..=b'7'))
        || radix(["0b", "0B"], |digit| matches!(digit, b'0' | b'1'))
        || is_float(text)
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let mantissa_is_valid = match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(mantissa),
    };
    mantissa_is_valid && exponent.is_none_or(is_digits)
}
