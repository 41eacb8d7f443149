//! Sends bytes as they are, and reads answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the runtime made it itself.
    pub(crate) ours: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Final answers, in order.
    pub(crate) all: Vec<Answer>,
    /// Whether the other end closed the connection.
    pub(crate) closed: bool,
}

/// Asks for the end of the connection: what answers it shows that nothing before it was left over.
pub(crate) const LAST: &[u8] = b"GET /whoami?last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Sends `bytes` on a connection of its own and reads until the other end closes it, or `patience` is over.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8], patience: Duration) -> Answers {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let both = async {
        // The other end may refuse before it has read all.
        let (_, _) = tokio::join!(write.write_all(bytes), async {
            loop {
                match read.read_buf(&mut answer).await {
                    Ok(length) if length > 0 => {}
                    _ => break,
                }
            }
        });
    };
    let closed = timeout(patience, both).await.is_ok();
    Answers { all: answers(&answer), closed }
}

fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        bytes = &bytes[end + 4..];
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        assert!(head.starts_with("http/1.") && status >= 100, "not an answer: {head:?}");
        if status < 200 {
            continue;
        }
        let value = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        // What its parser refuses is answered with a bare status.
        let ours = value("proxy-status").is_some() || [400, 414, 431].contains(&status);
        match (value("content-length"), value("transfer-encoding")) {
            (Some(length), None) => {
                let length = length.parse::<usize>().unwrap().min(bytes.len());
                bytes = &bytes[length..];
            }
            (None, Some("chunked")) => unchunk(&mut bytes),
            (None, None) => bytes = &[],
            both => panic!("two ways to read the answer's body: {both:?}"),
        }
        all.push(Answer { status, ours });
    }
    all
}

/// Goes behind a body in chunks.
fn unchunk(bytes: &mut &[u8]) {
    while let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        let end = (line + 2 + size + 2).min(bytes.len());
        *bytes = &bytes[end..];
        if size == 0 {
            break;
        }
    }
}
