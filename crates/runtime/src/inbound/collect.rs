//! Reads a small body whole: an answer about a user, a key set. Never a request's body.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::future::poll_fn;
use hyper::body::Body;

/// All of `body`; none when it is longer than `limit` bytes or breaks off.
pub(super) async fn collect<B: Body<Data = Bytes> + Unpin>(mut body: B, limit: usize) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return None;
        }
        whole.extend_from_slice(&data);
    }
    Some(whole.freeze())
}
