//! The one body type of all stacks. Streams pass through frame by frame, trailers included; nothing is collected.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::context::Remembered;
use crate::metrics::Exchange;
use crate::upstream::Lease;

/// A request's or response's body.
#[derive(Debug, Default)]
pub(crate) struct Body {
    content: Content,
    /// Goes back to its pool when the last frame has been read.
    lease: Option<Lease>,
    /// Keeps the request in the app's reach until the body is dropped.
    serving: Option<Remembered>,
    /// Counts the request as in flight until the body is dropped, and then as done.
    exchange: Option<Exchange>,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(Incoming),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(bytes.into()), ..Self::default() }
    }

    pub(crate) fn stream(incoming: Incoming) -> Self {
        Self { content: Content::Stream(incoming), ..Self::default() }
    }

    /// A response's body that holds its connection until it ends.
    pub(crate) fn leased(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self { content: Content::Stream(incoming), lease: Some(lease), ..Self::default() };
        body.release_at_end();
        body
    }

    pub(crate) fn counted(mut self, exchange: Option<Exchange>) -> Self {
        self.exchange = exchange;
        self
    }

    pub(crate) fn serving(mut self, request: Option<Remembered>) -> Self {
        self.serving = request;
        self
    }

    /// What a frame says about how the request went.
    fn note<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>) {
        let Some(exchange) = &mut self.exchange else { return };
        match frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    exchange.trailers(trailers);
                }
            }
            Some(Err(_)) => exchange.broken(),
            None => {}
        }
    }

    fn release_at_end(&mut self) {
        if self.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.release();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(_) => match std::mem::take(&mut self.content) {
                Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Content::Stream(incoming) => {
                let frame = std::task::ready!(Pin::new(incoming).poll_frame(cx));
                self.note(frame.as_ref());
                match &frame {
                    // hyper may not ask again after the frame that completes a Content-Length.
                    Some(Ok(_)) => self.release_at_end(),
                    Some(Err(_)) => self.lease = None,
                    None => {
                        if let Some(lease) = self.lease.take() {
                            lease.release();
                        }
                    }
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(incoming) => incoming.size_hint(),
        }
    }
}
