//! How long to wait before a repetition: exponential backoff with full jitter, so that clients that failed together do
//! not come back together (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).

use std::time::{Duration, SystemTime};

use goodgo_runtime_config::Retries;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

/// The wait before repetition `number` (0 is the first): uniform between 0 and `min(maxBackoff, backoff · 2^number)`.
pub(super) fn jittered(retries: &Retries, number: u32) -> Duration {
    let bound = bound(retries, number);
    Duration::from_micros(fastrand::u64(0..=bound.saturating_mul(1000)))
}

/// Milliseconds.
fn bound(retries: &Retries, number: u32) -> u64 {
    let factor = 1_u64.checked_shl(number).unwrap_or(u64::MAX);
    retries.backoff_ms.saturating_mul(factor).min(retries.max_backoff_ms)
}

/// What the callee asks to wait (RFC 9110 10.2.3), where it may: on 429 and 503.
pub(super) fn asked(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// Seconds, or a date; a date in the past is now.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit is still "much later".
        return Some(Duration::from_secs(value.parse().unwrap_or(u32::MAX).into()));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retries(backoff_ms: u64, max_backoff_ms: u64) -> Retries {
        Retries { backoff_ms, max_backoff_ms, ..Retries::default() }
    }

    #[test]
    fn the_wait_uses_the_whole_range() {
        let retries = retries(100, 2_000);
        for (number, most) in [(0, 100), (1, 200), (2, 400), (4, 1_600), (5, 2_000), (70, 2_000)] {
            let drawn: Vec<_> = (0..2_000).map(|_| jittered(&retries, number).as_millis()).collect();
            assert!(drawn.iter().all(|wait| *wait <= most), "{number}");
            // 2,000 draws miss an eighth of the range with a probability of 10^-116.
            for eighth in 0..8 {
                let (from, to) = (most * eighth / 8, most * (eighth + 1) / 8);
                assert!(drawn.iter().any(|wait| (from..=to).contains(wait)), "{number}: {from} to {to}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        /// Envoy waits less than `(2^N - 1) · base` before its N-th repetition, and no longer than the maximum.
        #[test]
        fn the_wait_is_inside_envoys_bounds(base in 1_u64..100_000, max in 1_u64..1_000_000, n in 1_u32..10) {
            let envoy = base.saturating_mul((1 << n) - 1).min(max);
            prop_assert!(jittered(&retries(base, max), n - 1) <= Duration::from_millis(envoy));
        }
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn seconds_and_dates_are_understood() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 5);
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999", Some(u64::from(u32::MAX))),
            (DATE, Some(5)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(5)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn only_those_who_may_ask_are_heard() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "3".parse().unwrap())]);
        let asked = |status| asked(StatusCode::from_u16(status).unwrap(), &headers, SystemTime::now());
        assert_eq!([429, 503].map(asked), [Some(Duration::from_secs(3)); 2]);
        assert_eq!([500, 502, 504, 400].map(asked), [None; 4]);
    }

    #[test]
    fn any_value_is_read_or_ignored() {
        const PIECES: [&str; 14] = [
            "0", "7", "99999", " ", "-", "+", ".", "Sun, ", "06 Nov ", "1994 ", "08:49:37", " GMT", "\t", "é",
        ];
        let now = SystemTime::now();
        for seed in 0..crate::executions() {
            let mut random = fastrand::Rng::with_seed(seed);
            let value: String =
                (0..random.usize(0..8)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect();
            let digits = value.trim_matches([' ', '\t']);
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let read = retry_after(&value, now);
            assert_eq!(read.is_some(), is_number || httpdate::parse_http_date(digits).is_ok(), "{value:?}");
        }
    }
}
