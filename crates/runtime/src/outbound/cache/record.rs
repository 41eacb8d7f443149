//! Keeps a copy of a body that streams through, and stores it when it is complete.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::key::Key;
use super::store::{Entry, Store};
use crate::proxy::{Body, BodyError};

/// Largest body that is kept, in bytes.
pub(super) const LIMIT: usize = 256 * 1024;

/// What is needed to store an answer once its body is there.
pub(super) struct Recorder {
    store: Arc<Store>,
    key: Key,
    entry: Entry,
    copy: BytesMut,
}

impl Recorder {
    pub(super) fn new(store: Arc<Store>, key: Key, entry: Entry) -> Self {
        Self { store, key, entry, copy: BytesMut::new() }
    }

    /// The same body, listened to.
    pub(super) fn listen(self, body: Body) -> Body {
        if body.size_hint().lower() > LIMIT as u64 {
            return body;
        }
        if body.is_end_stream() {
            self.store();
            return body;
        }
        Body::wrapped(Listened { body, recorder: Some(self) })
    }

    fn store(self) {
        let Self { store, key, entry, copy } = self;
        store.insert(key, entry.with_body(copy.freeze()));
    }
}

struct Listened {
    body: Body,
    /// None once it was stored, or can't be.
    recorder: Option<Recorder>,
}

impl HttpBody for Listened {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let Some(mut recorder) = this.recorder.take() else { return Poll::Ready(frame) };
        match &frame {
            None => recorder.store(),
            Some(Ok(frame)) => {
                // An answer with trailers is not kept: it would be served without them.
                if let Some(data) = frame.data_ref()
                    && recorder.copy.len() + data.len() <= LIMIT
                {
                    recorder.copy.extend_from_slice(data);
                    if this.body.is_end_stream() {
                        recorder.store();
                    } else {
                        this.recorder = Some(recorder);
                    }
                }
            }
            // Incomplete.
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
