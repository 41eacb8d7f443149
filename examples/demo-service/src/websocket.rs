//! `/ws`: a WebSocket (RFC 6455) that sends each message back; the handshake's `x-pod` says who it is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use axum::http::{HeaderName, Response, StatusCode};
use axum::response::IntoResponse;
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::routes::Demo;

/// Switches to WebSocket and echoes until the client closes.
pub(crate) async fn echo(State(demo): State<Arc<Demo>>, mut request: Request) -> Response<Body> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return (StatusCode::UPGRADE_REQUIRED, "this is a WebSocket").into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let switched = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(stream) = switched.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
        // Close and Ping are answered by the library while it is read.
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let head = [
        (CONNECTION, "upgrade".to_owned()),
        (UPGRADE, "websocket".to_owned()),
        (SEC_WEBSOCKET_ACCEPT, accept),
        (HeaderName::from_static("x-pod"), demo.pod.clone()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, head).into_response()
}
