//! An app that reads bytes, judges them by the letter ([`crate::strict`]), and keeps what it saw.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::strict::{Message, Parsed, parse};

/// What came over all connections since it was last asked.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Whole requests.
    pub(crate) whole: Vec<Message>,
    /// Heads, also of those that ended before their bodies.
    pub(crate) heads: usize,
    /// What was not the one well-formed request that it must be.
    pub(crate) broken: Vec<String>,
}

/// The listening recorder.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let record = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&record)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen())
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let (mut bytes, mut counted) = (Vec::new(), false);
    loop {
        match parse(&bytes) {
            Parsed::Whole(message, length) => {
                bytes.drain(..length);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                    if message.method == "HEAD" { 0 } else { message.body.len() }
                );
                let answer = [head.as_bytes(), &message.body].concat();
                {
                    let mut seen = seen.lock().unwrap();
                    seen.heads += usize::from(!counted);
                    seen.whole.push(message);
                }
                counted = false;
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
                continue;
            }
            Parsed::Broken(wrong) => {
                seen.lock().unwrap().broken.push(wrong);
                return;
            }
            Parsed::Partial { head: true } if !counted => {
                counted = true;
                seen.lock().unwrap().heads += 1;
            }
            Parsed::Partial { .. } => {}
        }
        match stream.read_buf(&mut bytes).await {
            Ok(length) if length > 0 => {}
            _ => return,
        }
    }
}
