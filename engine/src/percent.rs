//! A percentage, as `rollout` of a rule has it.

use std::fmt;

use thiserror::Error;

/// A share of workloads in whole percent: 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

/// Why a text is not a percentage. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPercent {
    #[error("it has no `%`; write `{0}%`")]
    NoSign(u8),
    #[error("write at most `100%`, which includes every workload")]
    TooMuch,
    #[error("write a whole number from 0 to 100 and `%`, such as `25%`")]
    NotANumber,
}

impl Percent {
    /// Every workload.
    pub const ALL: Self = Self(100);

    /// Parses a percentage such as `25%`.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a whole number from 0 to 100 with a percent sign.
    pub fn parse(text: &str) -> Result<Self, InvalidPercent> {
        let (number, has_sign) = text.strip_suffix('%').map_or((text, false), |number| (number, true));
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || (number.len() > 1 && number.starts_with('0')) {
            return Err(InvalidPercent::NotANumber);
        }
        match number.parse().ok().filter(|number| *number <= Self::ALL.0) {
            Some(number) if has_sign => Ok(Self(number)),
            Some(number) => Err(InvalidPercent::NoSign(number)),
            None => Err(InvalidPercent::TooMuch),
        }
    }

    /// Returns the percentage behind a number of whole percent: 1 for 0, and at most 100.
    pub(super) fn behind(percent: u8) -> Self {
        Self(percent.saturating_add(1).min(Self::ALL.0))
    }

    /// Returns the number, from 0 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Displays as `25%`.
impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_whole_numbers_up_to_100() {
        for (text, expected) in [
            ("0%", Ok(0)),
            ("1%", Ok(1)),
            ("100%", Ok(100)),
            ("25", Err(InvalidPercent::NoSign(25))),
            ("101%", Err(InvalidPercent::TooMuch)),
            ("99999999999999999999%", Err(InvalidPercent::TooMuch)),
            ("500", Err(InvalidPercent::TooMuch)),
            ("0.25", Err(InvalidPercent::NotANumber)),
            ("12.5%", Err(InvalidPercent::NotANumber)),
            ("-1%", Err(InvalidPercent::NotANumber)),
            ("+1%", Err(InvalidPercent::NotANumber)),
            ("05%", Err(InvalidPercent::NotANumber)),
            ("5 %", Err(InvalidPercent::NotANumber)),
            ("%", Err(InvalidPercent::NotANumber)),
            ("", Err(InvalidPercent::NotANumber)),
            ("half", Err(InvalidPercent::NotANumber)),
        ] {
            assert_eq!(Percent::parse(text).map(Percent::get), expected, "{text}");
        }
    }
}
