//! W3C Trace Context, level 1: who this request's trace and parent are (<https://www.w3.org/TR/trace-context-1/>), and
//! W3C Baggage, which is passed on as it is.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

const SAMPLED: u8 = 1;
/// `00-` trace `-` parent `-` flags.
const LENGTH: usize = 55;

/// The content of a valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) sampled: bool,
}

impl TraceContext {
    /// What the headers carry; none when it is missing, there twice or not valid: then the trace begins anew (3.2.2.5).
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (all.next()?, all.next()) else { return None };
        Self::parse(value.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.get(..LENGTH)?.split(|byte| *byte == b'-');
        let version = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        // A later version may go on after these; this one may not.
        let rest = text.get(LENGTH..)?;
        let rest_is_legal = rest.is_empty() || (version > 0 && rest.starts_with(b"-"));
        let valid = version != u8::MAX && trace != 0 && span != 0 && rest_is_legal;
        valid.then_some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// A trace that begins here.
    pub(crate) fn root(trace: u128, sampled: bool) -> Self {
        Self { trace, span: fastrand::u64(1..), sampled }
    }

    /// The next span of the same trace.
    pub(crate) fn child(self) -> Self {
        Self { span: fastrand::u64(1..), ..self }
    }

    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let Self { trace, span, sampled } = self;
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (head, tail) = text.split_at_mut(36);
        write_hex(head.get_mut(3..35).unwrap_or_default(), trace);
        write_hex(tail.get_mut(..16).unwrap_or_default(), span.into());
        write_hex(tail.get_mut(17..).unwrap_or_default(), u128::from(sampled));
        if let Ok(value) = HeaderValue::from_bytes(&text) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// Exactly `digits` lower-case digits, at most 32.
pub(super) fn hex(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.iter().try_fold(0_u128, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// Fills `text` with the lowest digits of `value`.
pub(super) fn write_hex(text: &mut [u8], mut value: u128) {
    for byte in text.iter_mut().rev() {
        let digit = (value & 0xf) as u8;
        *byte = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        value >>= 4;
    }
}

/// One value that says what all headers of this name say together (both formats are lists, RFC 9110 5.3).
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    let mut text: Option<Vec<u8>> = None;
    for next in all {
        let text = text.get_or_insert_with(|| first.as_bytes().to_vec());
        text.push(b',');
        text.extend_from_slice(next.as_bytes());
    }
    match text {
        None => Some(first.clone()),
        Some(text) => HeaderValue::from_bytes(&text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn what_is_valid_round_trips() {
        let parsed = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(parsed.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parsed.span, parsed.sampled), (0x00f0_67aa_0ba9_02b7, true));
        let mut headers = HeaderMap::new();
        parsed.write(&mut headers);
        assert_eq!(headers[TRACEPARENT], GOOD);
        let later = TraceContext::parse(GOOD.replacen("00", "cc", 1).as_bytes()).unwrap();
        assert_eq!(later, parsed);
        assert!(TraceContext::parse(format!("{}-more", GOOD.replacen("00", "cc", 1)).as_bytes()).is_some());
    }

    #[test]
    fn what_is_not_valid_begins_anew() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-1",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "cc-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01.more",
            "00-0af7651916cd43dd8448eb211c80319-c00f067aa0ba902b7-01",
            "00_0af7651916cd43dd8448eb211c80319c_00f067aa0ba902b7_01",
        ] {
            assert_eq!(TraceContext::parse(bad.as_bytes()), None, "{bad}");
        }
        let mut twice = HeaderMap::new();
        twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(TraceContext::of(&twice), None);
    }

    #[test]
    fn several_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(joined(&headers, &BAGGAGE), None);
        headers.append(BAGGAGE, HeaderValue::from_static("a=1"));
        assert_eq!(joined(&headers, &BAGGAGE).unwrap(), "a=1");
        headers.append(BAGGAGE, HeaderValue::from_static("b=2"));
        assert_eq!(joined(&headers, &BAGGAGE).unwrap(), "a=1,b=2");
    }
}
