//! The one body type of all stacks. Streams pass through frame by frame, trailers included; nothing is collected.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::context::Remembered;
use crate::inbound::Watch;
use crate::metrics::Exchange;
use crate::outbound::Permit;
use crate::upstream::{InFlight, Lease, Stream};

/// A request's or response's body.
#[derive(Debug, Default)]
pub(crate) struct Body {
    content: Content,
    /// Of an answer. Boxed, as a message is moved dozens of times on its way through the layers.
    ends: Option<Box<Ends>>,
    /// Judges a request's body while it is read.
    watch: Option<Box<Watch>>,
}

/// What ends with an answer.
#[derive(Debug, Default)]
struct Ends {
    /// What is held until the last frame has been read.
    held: Held,
    /// Its call's place in the bulkhead.
    permit: Option<Permit>,
    /// Keeps the request in the app's reach until the body is dropped.
    serving: Option<Remembered>,
    /// Counts the request as in flight until the body is dropped, and then as done.
    exchange: Option<Exchange>,
}

/// What an answer occupies of its upstream.
#[derive(Debug, Default)]
struct Held {
    /// HTTP/1.1: goes back to its pool.
    lease: Option<Lease>,
    /// HTTP/2.
    stream: Option<Stream>,
    /// Counts the peer as busy.
    peer: Option<InFlight>,
}

impl Held {
    fn release(&mut self) {
        let Self { lease, stream, peer } = std::mem::take(self);
        drop((stream, peer));
        if let Some(lease) = lease {
            lease.release();
        }
    }
}

/// Why a body broke off.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(Incoming),
    Wrapped(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send + Sync>>),
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
        Self::stream(incoming).holding(Held { lease: Some(lease), ..Held::default() })
    }

    /// A response's body that counts as a stream of its connection until it ends.
    pub(crate) fn streamed(incoming: Incoming, stream: Stream) -> Self {
        Self::stream(incoming).holding(Held { stream: Some(stream), ..Held::default() })
    }

    /// A body that something is done to on the way.
    pub(crate) fn wrapped<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + Sync + 'static,
    {
        Self { content: Content::Wrapped(Box::pin(body)), ..Self::default() }
    }

    /// Keeps a place of its call's bulkhead until the body is dropped.
    pub(crate) fn permitted(mut self, permit: Permit) -> Self {
        self.ends().permit = Some(permit);
        self
    }

    /// A response's body that keeps its peer busy until it ends.
    pub(crate) fn carried(mut self, peer: InFlight) -> Self {
        self.ends().held.peer = Some(peer);
        self.release_at_end();
        self
    }

    fn holding(mut self, held: Held) -> Self {
        self.ends().held = held;
        self.release_at_end();
        self
    }

    pub(crate) fn counted(mut self, exchange: Option<Exchange>) -> Self {
        if exchange.is_some() {
            self.ends().exchange = exchange;
        }
        self
    }

    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = Some(Box::new(watch));
    }

    pub(crate) fn serving(mut self, request: Option<Remembered>) -> Self {
        if request.is_some() {
            self.ends().serving = request;
        }
        self
    }

    /// What a frame says about how the request went.
    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        let Some(exchange) = self.ends.as_mut().and_then(|ends| ends.exchange.as_mut()) else { return };
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

    fn ends(&mut self) -> &mut Ends {
        self.ends.get_or_insert_default()
    }

    fn release_at_end(&mut self) {
        if self.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(ends) = &mut self.ends {
            ends.held.release();
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what is in it.
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Whole(_) => "Whole",
            Self::Stream(_) => "Stream",
            Self::Wrapped(_) => "Wrapped",
        })
    }
}

impl Body {
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(_) => match std::mem::take(&mut self.content) {
                Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Content::Stream(incoming) => {
                let frame = std::task::ready!(Pin::new(incoming).poll_frame(cx));
                match &frame {
                    // hyper may not ask again after the frame that completes a Content-Length.
                    Some(Ok(_)) => self.release_at_end(),
                    // The connection with it: it is in no state to carry another request.
                    Some(Err(_)) => drop(self.ends.as_mut().map(|ends| std::mem::take(&mut ends.held))),
                    None => self.release(),
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
            Content::Wrapped(body) => body.as_mut().poll_frame(cx),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = self.poll_content(cx);
        if let Poll::Ready(frame) = &frame {
            self.note(frame.as_ref());
        }
        let ended = self.is_end_stream();
        match &mut self.watch {
            Some(watch) => watch.judge(frame, ended, cx),
            None => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(incoming) => incoming.is_end_stream(),
            Content::Wrapped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(incoming) => incoming.size_hint(),
            Content::Wrapped(body) => body.size_hint(),
        }
    }
}
