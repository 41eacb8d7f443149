//! What one well-formed HTTP/1.1 request is, by the letter of RFC 9112 and without a courtesy: nothing that any parser
//! could read in a second way passes. It shares no code with what it judges.

/// A request as an app must see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

/// How far a connection's bytes go.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed {
    /// A request, and how many bytes it takes.
    Whole(Message, usize),
    /// Good so far; whether the head is complete.
    Partial { head: bool },
    /// What is wrong.
    Broken(String),
}

/// The first request of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Parsed::Partial { head: false } };
    match head(&bytes[..end]) {
        Err(wrong) => Parsed::Broken(wrong),
        Ok((method, target, framing)) => {
            let message = |body: &[u8]| Message { method, target, body: body.to_vec() };
            let rest = &bytes[end + 4..];
            match framing {
                Framing::Length(length) if rest.len() < length => Parsed::Partial { head: true },
                Framing::Length(length) => Parsed::Whole(message(&rest[..length]), end + 4 + length),
                Framing::Chunked => match chunks(rest) {
                    Err(wrong) => Parsed::Broken(wrong),
                    Ok(None) => Parsed::Partial { head: true },
                    Ok(Some((body, length))) => Parsed::Whole(message(&body), end + 4 + length),
                },
            }
        }
    }
}

enum Framing {
    Length(usize),
    Chunked,
}

fn head(bytes: &[u8]) -> Result<(String, String, Framing), String> {
    let mut lines = split(bytes);
    let first = text(lines.remove(0))?;
    let [method, target, "HTTP/1.1"] = first.split(' ').collect::<Vec<_>>()[..] else {
        return Err(format!("request line {first:?}"));
    };
    if !is_token(method) || target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("request line {first:?}"));
    }
    if !(target.starts_with('/') || method == "OPTIONS" && target == "*") {
        return Err(format!("target {target:?}: neither origin form nor OPTIONS *"));
    }
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = field(line)?;
        match name.as_str() {
            "content-length" => lengths.push(value),
            "transfer-encoding" => codings.push(value),
            "host" => hosts.push(value),
            _ => {}
        }
    }
    let [host] = &hosts[..] else { return Err(format!("hosts {hosts:?}")) };
    if host.is_empty() || host.contains([' ', ',', '@', '/', '\t']) {
        return Err(format!("host {host:?}"));
    }
    let framing = match (&lengths[..], &codings[..]) {
        ([], []) => Framing::Length(0),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Framing::Length(length.parse().map_err(|_| format!("length {length}"))?)
        }
        ([], [coding]) if coding == "chunked" => Framing::Chunked,
        _ => return Err(format!("lengths {lengths:?}, codings {codings:?}")),
    };
    Ok((method.to_owned(), target.to_owned(), framing))
}

/// A body in chunks, and the bytes that it takes with its trailers.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let size = text(&bytes[at..at + line])?;
        if size.is_empty() || size.len() > 8 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("chunk size {size:?}"));
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| format!("chunk size {size:?}"))?;
        at += line + 2;
        if size == 0 {
            return trailers(&bytes[at..]).map(|length| length.map(|length| (body, at + length)));
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        if &chunk[size..] != b"\r\n" {
            return Err(format!("chunk end {:?}", &chunk[size..]));
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
    }
}

/// RFC 9110 6.5.1: no framing, no routing in trailers.
fn trailers(bytes: &[u8]) -> Result<Option<usize>, String> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    for line in split(&bytes[..end]) {
        let (name, _) = field(line)?;
        if ["content-length", "transfer-encoding", "host", "trailer", "connection"].contains(&name.as_str()) {
            return Err(format!("trailer {name}"));
        }
    }
    Ok(Some(end + 4))
}

fn field(line: &[u8]) -> Result<(String, String), String> {
    let wrong = || format!("field {:?}", String::from_utf8_lossy(line));
    let colon = find(line, b":").ok_or_else(wrong)?;
    let (name, value) = (std::str::from_utf8(&line[..colon]).map_err(|_| wrong())?, &line[colon + 1..]);
    let is_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !is_token(name) || !value.iter().all(is_value) {
        return Err(wrong());
    }
    Ok((name.to_ascii_lowercase(), String::from_utf8_lossy(value).trim_matches([' ', '\t']).to_owned()))
}

fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("line {:?}", String::from_utf8_lossy(bytes)))
}

/// Lines; one that holds a bare CR or LF fails where it is read.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        lines.push(&bytes[..end]);
        bytes = &bytes[end + 2..];
    }
    lines.push(bytes);
    lines
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[test]
fn only_one_reading_passes() {
    let whole =
        |text: &str| matches!(parse(text.as_bytes()), Parsed::Whole(_, length) if length == text.len());
    let broken = |text: &str| matches!(parse(text.as_bytes()), Parsed::Broken(_));
    assert!(whole("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"));
    assert!(whole(
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n"
    ));
    for head in [
        "GET  / HTTP/1.1\r\nhost: a",
        "GET / HTTP/1.0\r\nhost: a",
        "GET a HTTP/1.1\r\nhost: a",
        "GET / HTTP/1.1\nhost: a",
        "GET / HTTP/1.1\r\nx: y",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a",
        "GET / HTTP/1.1\r\nhost: u@a",
        "GET / HTTP/1.1\r\nhost : a",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: b",
        "GET / HTTP/1.1\r\nhost: a\nx: y",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +1",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked",
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked",
    ] {
        assert!(broken(&format!("{head}\r\n\r\n")), "{head:?}");
    }
    for body in ["3;x\r\nabc\r\n", "3\nabc\r\n", "0x3\r\nabc\r\n", "3\r\nabcd\r\n", "0\r\nhost: b\r\n\r\n"] {
        let text = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        assert!(broken(&text), "{body:?}");
    }
}
