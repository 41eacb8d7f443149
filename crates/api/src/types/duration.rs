//! One grammar for every duration: a number and a unit.

use super::text_type;

text_type!(
    /// A length of time: one number and one unit of `ms`, `s`, `m`, `h` or `d`, such as `500ms` or `7d`.
    ///
    /// Neither Go's `duration()` nor CEL's knows days, so the grammar is our own and the same everywhere.
    Duration, min: 2, max: 12,
    rule: "self.matches('^[1-9][0-9]*(ms|s|m|h|d)$')",
    says: "a duration is one number and one unit (ms, s, m, h or d), such as 500ms, 30s or 7d",
);

/// The text is not a duration of this API's grammar.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("failed to read {0:?} as a duration: write one number and one unit (ms, s, m, h or d), such as 30s")]
pub struct DurationError(String);

impl Duration {
    /// The duration as the standard library's type.
    ///
    /// # Errors
    /// [`DurationError`] for another grammar, or a number beyond 64 bits of milliseconds.
    pub fn to_std(&self) -> Result<std::time::Duration, DurationError> {
        let error = || DurationError(self.0.clone());
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = self.0.split_at_checked(digits).ok_or_else(error)?;
        if number.starts_with('0') {
            return Err(error());
        }
        let number: u64 = number.parse().map_err(|_| error())?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(error()),
        };
        number.checked_mul(milliseconds).map(std::time::Duration::from_millis).ok_or_else(error)
    }

    /// Whole seconds, rounded up, at least 1: the unit of Kubernetes probes and grace periods.
    ///
    /// # Errors
    /// As [`Duration::to_std`], or more than `i32::MAX` seconds.
    pub fn to_seconds(&self) -> Result<i32, DurationError> {
        let millis = self.to_std()?.as_millis();
        i32::try_from(millis.div_ceil(1_000)).map_err(|_| DurationError(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, millis) in
            [("1ms", 1), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000)]
        {
            assert_eq!(Duration::from(text).to_std().unwrap().as_millis(), millis, "{text}");
        }
        assert_eq!(Duration::from("1500ms").to_seconds().unwrap(), 2);
    }

    #[test]
    fn refuses_other_grammars() {
        for text in
            ["", "s", "0s", "01s", "1", "1.5s", "1h30m", "-1s", " 1s", "1 s", "9999999999999d", "1µs", "é"]
        {
            assert!(Duration::from(text).to_std().is_err(), "{text}");
        }
    }
}
