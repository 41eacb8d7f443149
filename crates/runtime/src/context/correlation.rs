//! `x-correlation-id`: taken from the client when it can do no harm in logs and headers, else made.

use http::{HeaderMap, HeaderValue};

use super::CORRELATION_ID;
use super::trace::write_hex;

/// Longest one that is kept, in characters.
const LONGEST: usize = 128;

/// The client's: one value of visible ASCII characters.
pub(super) fn sane(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut all = headers.get_all(CORRELATION_ID).iter();
    let (value, None) = (all.next()?, all.next()) else { return None };
    let bytes = value.as_bytes();
    let fits = !bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(u8::is_ascii_graphic);
    fits.then_some(value)
}

/// Gives a request a name that has none, or none that can be kept.
pub(crate) fn ensure(headers: &mut HeaderMap) {
    if sane(headers).is_none() {
        super::put(headers, CORRELATION_ID, made().as_ref());
    }
}

/// 128 random bits. It is a name, not a secret.
pub(super) fn made() -> Option<HeaderValue> {
    let mut text = [0; 32];
    write_hex(&mut text, fastrand::u128(..));
    HeaderValue::from_bytes(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_harmless_is_kept() {
        let kept = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CORRELATION_ID, HeaderValue::from_bytes(value).unwrap());
            }
            sane(&headers).is_some()
        };
        assert!(kept(&[b"a"]) && kept(&[&[b'~'; 128]]) && kept(&[b"018f-{7}/x"]));
        assert!(!kept(&[]) && !kept(&[b""]) && !kept(&[&[b'a'; 129]]) && !kept(&[b"a b"]));
        assert!(!kept(&["é".as_bytes()]) && !kept(&[b"a\tb"]) && !kept(&[b"a", b"a"]));
    }
}
