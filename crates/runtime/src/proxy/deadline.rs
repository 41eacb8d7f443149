//! One deadline for a whole chain of calls: it travels as the time that is left, and no hop extends it.
//!
//! What is left is sent instead of an instant because clocks of machines differ, and one may jump; inside a process the
//! deadline is a monotonic instant. gRPC has a header of its own for the same thing, which is read and kept in step.

use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

/// Milliseconds that are left for the answer's head.
pub(crate) const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-goodgo-timeout-ms");
/// The same in gRPC: at most eight digits and a unit.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Longer is as good as none: nobody waits for more than a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// When the answer's head must be there. Also an extension of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `left` from `now`.
    pub(crate) fn after(left: Duration, now: Instant) -> Self {
        Self(now + left.min(LONGEST))
    }

    /// The earlier one of those that `headers` carry; what can't be read is ignored.
    pub(crate) fn of(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let ours = text(headers, TIMEOUT_MS).and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        let grpc = text(headers, GRPC_TIMEOUT).and_then(grpc_timeout);
        ours.into_iter().chain(grpc).min().map(|left| Self::after(left, now))
    }

    /// What is left; zero once it has passed.
    pub(crate) fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// The instant.
    pub(crate) fn instant(self) -> Instant {
        self.0
    }

    /// Tells the next hop what is left.
    pub(crate) fn write(self, headers: &mut HeaderMap, now: Instant) {
        let left = self.left(now).as_millis();
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        headers.insert(TIMEOUT_MS, HeaderValue::from(left));
        if headers.contains_key(GRPC_TIMEOUT)
            && let Ok(value) = HeaderValue::try_from(format!("{}m", left.min(99_999_999)))
        {
            headers.insert(GRPC_TIMEOUT, value);
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>: `TimeoutValue TimeoutUnit`.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(pairs: &[(&'static str, &'static str)]) -> Option<u128> {
        let now = Instant::now();
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        Deadline::of(&headers, now).map(|deadline| deadline.left(now).as_millis())
    }

    #[test]
    fn the_earlier_of_both_headers_counts_and_nonsense_does_not() {
        assert_eq!(left(&[("x-goodgo-timeout-ms", "250")]), Some(250));
        assert_eq!(left(&[("grpc-timeout", "2S")]), Some(2000));
        assert_eq!(left(&[("x-goodgo-timeout-ms", "250"), ("grpc-timeout", "1M")]), Some(250));
        assert_eq!(left(&[("x-goodgo-timeout-ms", "18446744073709551615")]), Some(86_400_000));
        for nonsense in ["", "-1", "1.5", "1e3", "18446744073709551616", " 1"] {
            assert_eq!(left(&[("x-goodgo-timeout-ms", nonsense)]), None, "{nonsense}");
        }
        for nonsense in ["", "S", "123456789S", "1x", "+1S", "1é"] {
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, HeaderValue::from_str(nonsense).unwrap())]);
            assert_eq!(Deadline::of(&headers, Instant::now()), None, "{nonsense}");
        }
    }

    #[test]
    fn the_next_hop_is_told_what_is_left() {
        let now = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(500), now);
        let later = now + Duration::from_millis(180);
        let mut headers = HeaderMap::new();
        deadline.write(&mut headers, later);
        assert_eq!(headers[TIMEOUT_MS], "320");
        assert!(!headers.contains_key(GRPC_TIMEOUT));
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("10S"));
        deadline.write(&mut headers, now + Duration::from_secs(9));
        assert_eq!(
            (&headers[TIMEOUT_MS], &headers[GRPC_TIMEOUT]),
            (&"0".parse().unwrap(), &"0m".parse().unwrap())
        );
    }
}
