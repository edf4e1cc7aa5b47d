//! Durations as the rules file, options and variables write them, such as `500ms`, `5s` or `1m30s`.

use std::time::Duration;

/// The largest first, as they are written.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads a duration as Go does, but without fractions, signs and units below a millisecond.
///
/// # Errors
///
/// Returns what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "write a whole number with a unit (ms, s, m or h), such as 500ms, 5s or 1m30s";
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a number needs a unit (ms, s, m or h): for seconds, write ".to_owned() + text + "s");
    }
    let mut millis: u64 = 0;
    let mut larger = u64::MAX;
    let mut rest = text;
    loop {
        let (number, after) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let (name, after) = after.split_at(after.bytes().take_while(u8::is_ascii_alphabetic).count());
        let unit = UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, unit)| *unit);
        // Each unit once, the larger first.
        let unit = unit.filter(|unit| *unit < larger).ok_or(FORM)?;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        millis = part.and_then(|part| millis.checked_add(part)).ok_or(FORM)?;
        if after.is_empty() {
            break;
        }
        (rest, larger) = (after, unit);
    }
    Ok(Duration::from_millis(millis))
}

/// Returns a duration as [`parse_duration`] reads it, without its part below a millisecond.
pub fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in UNITS {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_people_write_them() {
        for (text, millis, shown) in [
            ("0s", 0, "0s"),
            ("500ms", 500, "500ms"),
            ("1500ms", 1500, "1s500ms"),
            ("5s", 5000, "5s"),
            ("90s", 90_000, "1m30s"),
            ("1m30s", 90_000, "1m30s"),
            ("2160h", 7_776_000_000, "2160h"),
            ("1h0m5ms", 3_600_005, "1h5ms"),
        ] {
            let read = parse_duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(millis), "{text}");
            assert_eq!(duration_text(read), shown);
        }
    }

    #[test]
    fn a_mistake_is_answered_with_the_form() {
        for text in
            ["", "s", "5 s", "-5s", "1.5s", "5S", "5d", "5s1m", "5s5s", "5m3", "ms5", "5é", "99999999999999999h"]
        {
            assert!(parse_duration(text).unwrap_err().starts_with("write a whole number with a unit"), "{text}");
        }
        assert!(parse_duration("30").unwrap_err().ends_with("write 30s"));
    }
}
