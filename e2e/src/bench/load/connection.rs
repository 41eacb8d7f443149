//! One HTTP/1.1 connection of the load generator: blocking, one buffer, no more parsing than it takes to know that the
//! answer was the right one. What a general client costs would be measured as if the proxies had spent it.

use crate::bench::target::{Size, Target};
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest that one answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Hex digits of a correlation id.
const ID_DIGITS: usize = 32;
/// The id and the empty line end the head, so that a fresh id overwrites a fixed place.
const END: &[u8] = b"\r\n\r\n";

/// A connection that is kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    token: u64,
}

impl Connection {
    /// Connects to the target.
    ///
    /// # Errors
    /// When nobody takes the connection.
    pub(crate) fn open(target: &Target, size: Size) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&target.address, PATIENCE).context("failed to connect")?;
        stream.set_nodelay(true).context("failed to set TCP_NODELAY")?;
        stream.set_read_timeout(Some(PATIENCE)).context("failed to set a timeout")?;
        let token = target.token.as_ref().map_or(0, |token| token.version());
        Ok(Self { stream, request: request(target, size), answer: Vec::new(), token })
    }

    /// Sends one request with the correlation id `id` and reads its answer whole.
    ///
    /// # Errors
    /// Any answer but 200 with so many bytes, or none within [`PATIENCE`]; the connection is of no use then.
    pub(crate) fn exchange(&mut self, target: &Target, size: Size, id: u128) -> Result<()> {
        if let Some(token) = &target.token
            && token.version() != self.token
        {
            self.token = token.version();
            self.request = request(target, size);
        }
        let at = self.request.len().saturating_sub(ID_DIGITS + END.len());
        if let Some(place) = self.request.get_mut(at..at + ID_DIGITS) {
            for (digit, shift) in place.iter_mut().zip((0..ID_DIGITS).rev()) {
                let nibble = u32::try_from((id >> (shift * 4)) & 0xf).unwrap_or(0);
                *digit = char::from_digit(nibble, 16).map_or(b'0', |digit| digit as u8);
            }
        }
        self.stream.write_all(&self.request).context("failed to send")?;
        self.answer.clear();
        let mut part = [0; 32 * 1024];
        loop {
            let length = self.stream.read(&mut part).context("failed to read the answer")?;
            ensure!(length > 0, "failed to read the answer: the connection was closed");
            self.answer.extend_from_slice(part.get(..length).unwrap_or_default());
            if let Some(body) = body(&self.answer)? {
                ensure!(body == size.bytes(), "failed to get the right answer: {body} bytes");
                return Ok(());
            }
        }
    }
}

fn request(target: &Target, size: Size) -> Vec<u8> {
    let mut head = format!("GET {} HTTP/1.1\r\nhost: {}\r\n", target.path(size), target.address);
    if let Some(token) = &target.token {
        head.push_str("x-service-auth: ");
        head.push_str(&token.text());
        head.push_str("\r\n");
    }
    head.push_str("x-correlation-id: ");
    head.push_str(&"0".repeat(ID_DIGITS));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(END);
    bytes
}

/// Length of the body once the answer is complete.
fn body(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let (head, rest) = answer.split_at(end + END.len());
    let head = std::str::from_utf8(head).context("failed to read the answer's head")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("failed to get the right answer: {status} {}", String::from_utf8_lossy(rest));
    }
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            let length: usize = value.trim().parse().context("failed to read the answer's length")?;
            ensure!(rest.len() <= length, "failed to get the right answer: more than its length came");
            return Ok((rest.len() == length).then_some(length));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return chunked(rest);
        }
    }
    bail!("failed to get the right answer: it has no length")
}

/// Payload of a chunked body (RFC 9112 7.1) without trailers, once its last chunk is there.
fn chunked(mut rest: &[u8]) -> Result<Option<usize>> {
    let mut payload = 0;
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let (size, after) = rest.split_at(line);
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.context("failed to read the size of a chunk")?;
        let whole = size + 4; // its line's end and its own
        if after.len() < whole {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(payload));
        }
        payload += size;
        rest = after.split_at(whole).1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_when_its_framing_says_so() {
        let known = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(body(known).unwrap(), Some(3));
        assert_eq!(body(&known[..known.len() - 1]).unwrap(), None);
        assert_eq!(body(&known[..10]).unwrap(), None);
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1f\r\n0123456789012345678901234567890\r\n0\r\n\r\n";
        assert_eq!(body(chunked).unwrap(), Some(34));
        for cut in 45..chunked.len() {
            assert_eq!(body(&chunked[..cut]).unwrap(), None, "{cut}");
        }
    }

    #[test]
    fn any_other_answer_is_a_failure() {
        for answer in [
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        ] {
            assert!(body(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
