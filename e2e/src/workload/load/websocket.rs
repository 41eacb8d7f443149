//! WebSocket. Each message must come back. A connection may end in one way alone: with a Close frame that says 1001, going
//! away (RFC 6455 7.4.1). A message that was under way then has not been given to the app, as the runtime promises, and goes
//! over a new connection. Every other end is a failure.

use super::{Report, Talk, body};
use crate::http::{KEY, KEY_HEADER};
use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use hyper::header::HeaderValue;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Connections that one message may find going away.
const MOVES: usize = 50;

pub(super) struct Client {
    address: String,
    number: u32,
    socket: Option<Socket>,
}

struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Who answers, told in the handshake.
    pod: Option<String>,
}

impl Client {
    pub(super) fn new(address: &str, number: u32) -> Self {
        Self { address: address.to_owned(), number, socket: None }
    }

    async fn connect(&self, report: &mut Report) -> Result<Socket> {
        report.connections += 1;
        let stream = TcpStream::connect(&self.address).await.context("failed to connect")?;
        stream.set_nodelay(true).context("failed to set TCP_NODELAY")?;
        let mut request = format!("ws://{}/ws", self.address).into_client_request()?;
        request.headers_mut().insert(KEY_HEADER, HeaderValue::from_static(KEY));
        let (stream, answer) =
            tokio_tungstenite::client_async(request, stream).await.context("failed to open a WebSocket")?;
        let pod = answer.headers().get("x-pod").and_then(|pod| pod.to_str().ok()).map(str::to_owned);
        Ok(Socket { stream, pod })
    }
}

impl Talk for Client {
    async fn ask(&mut self, turn: u64, report: &mut Report) -> Result<Option<String>> {
        let message = Message::binary(body(self.number, turn));
        for _ in 0..MOVES {
            let mut socket = match self.socket.take() {
                Some(socket) => socket,
                None => self.connect(report).await?,
            };
            // Writing may fail because the Close frame is there already; reading tells.
            let sent = socket.stream.send(message.clone()).await;
            match socket.stream.next().await {
                Some(Ok(Message::Close(Some(close)))) if close.code == CloseCode::Away => {
                    report.moved += 1;
                    // The library answers the Close while it is read to the end.
                    while let Some(Ok(_)) = socket.stream.next().await {}
                }
                Some(Ok(answer)) => {
                    ensure!(answer == message, "something else came back: {} bytes", answer.len());
                    let pod = socket.pod.clone();
                    self.socket = Some(socket);
                    return Ok(pod);
                }
                Some(Err(error)) => bail!("no answer and no Close frame: {error}; sent: {sent:?}"),
                None => bail!("the connection ended before the answer; sent: {sent:?}"),
            }
        }
        bail!("failed to find a connection that does not go away, of {MOVES}")
    }

    async fn drop_connection(&mut self) {
        self.socket = None;
    }
}
