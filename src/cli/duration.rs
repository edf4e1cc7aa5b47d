//! Durations as options and variables write them.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The largest first, as they are written.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration such as `500ms`, `5s` or `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationArg(Duration);

impl DurationArg {
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub const fn get(self) -> Duration {
        self.0
    }

    /// Returns a parser for values within the range.
    pub fn within(
        range: RangeInclusive<Self>,
    ) -> impl Fn(&str) -> Result<Self, String> + Clone + Send + Sync + 'static {
        move |text| {
            let value = parse(text)?;
            if range.contains(&value) {
                Ok(value)
            } else {
                Err(format!("write a duration from {} to {}", range.start(), range.end()))
            }
        }
    }
}

/// As in Go, but without fractions, signs and units below a millisecond.
fn parse(text: &str) -> Result<DurationArg, String> {
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
    Ok(DurationArg(Duration::from_millis(millis)))
}

impl fmt::Display for DurationArg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return formatter.write_str("0s");
        }
        for (unit, millis) in UNITS {
            if rest >= millis {
                write!(formatter, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
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
            let read = parse(text).unwrap();
            assert_eq!(read.get(), Duration::from_millis(millis), "{text}");
            assert_eq!(read.to_string(), shown);
        }
    }

    #[test]
    fn a_mistake_is_answered_with_the_form() {
        for text in
            ["", "s", "5 s", "-5s", "1.5s", "5S", "5d", "5s1m", "5s5s", "5m3", "ms5", "5é", "99999999999999999h"]
        {
            assert!(parse(text).unwrap_err().starts_with("write a whole number with a unit"), "{text}");
        }
        assert!(parse("30").unwrap_err().ends_with("write 30s"));
    }

    #[test]
    fn the_range_is_named_in_its_error() {
        let parse = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(600));
        assert_eq!(parse("10m"), Ok(DurationArg::from_secs(600)));
        assert_eq!(parse("999ms"), Err("write a duration from 1s to 10m".to_owned()));
        assert_eq!(parse("11m"), Err("write a duration from 1s to 10m".to_owned()));
    }
}
