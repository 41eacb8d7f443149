//! A body that is encoded while it passes: a chunk goes in, what the encoder lets go of goes out.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::proxy::{Body, BodyError};

/// When encoded bytes are let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// As the encoder likes: smallest, for bodies that are there as a whole.
    Full,
    /// Also whenever nothing more is there to be encoded: a reader may be waiting for just this piece.
    Quiet,
}

/// Bodies that are encoded at once. Each has a state of a third of a MiB until its last byte, however slowly that is read;
/// what goes beyond is sent as it is.
static PLACES: Semaphore = Semaphore::const_new(64);

/// Leave to encode one body.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: SemaphorePermit<'static>,
}

impl Place {
    /// None while too many bodies are being encoded.
    pub(crate) fn take() -> Option<Self> {
        PLACES.try_acquire().ok().map(|permit| Self { _permit: permit })
    }
}

/// `body` in gzip.
pub(crate) fn encoded(body: Body, when: When, place: Place) -> Body {
    let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    Body::wrapped(Encoded { body, encoder, trailers: None, when, held_back: false, _place: place })
}

#[derive(Debug, thiserror::Error)]
#[error("failed to compress the body")]
struct Broken(#[from] io::Error);

struct Encoded {
    body: Body,
    /// None once the end has been written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Kept until the rest of the data is out.
    trailers: Option<HeaderMap>,
    when: When,
    /// The encoder may have some of what it was given.
    held_back: bool,
    _place: Place,
}

impl Encoded {
    /// Takes `chunk` in, and gives what is ready to go out.
    fn feed(&mut self, chunk: &[u8]) -> Result<Option<Bytes>, Broken> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        encoder.write_all(chunk)?;
        self.held_back = true;
        Ok(taken(encoder))
    }

    fn flush(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        encoder.flush()?;
        self.held_back = false;
        Ok(taken(encoder))
    }

    fn finish(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(encoder) = self.encoder.take() else { return Ok(None) };
        Ok(Some(encoder.finish()?.into()))
    }
}

fn taken(encoder: &mut GzEncoder<Vec<u8>>) -> Option<Bytes> {
    let ready = std::mem::take(encoder.get_mut());
    (!ready.is_empty()).then(|| ready.into())
}

impl HttpBody for Encoded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        while this.encoder.is_some() {
            let ready = match Pin::new(&mut this.body).poll_frame(cx)? {
                Poll::Ready(Some(frame)) => match frame.into_data() {
                    Ok(chunk) => this.feed(&chunk)?,
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        this.finish()?
                    }
                },
                Poll::Ready(None) => this.finish()?,
                Poll::Pending if this.when == When::Quiet && this.held_back => this.flush()?,
                Poll::Pending => return Poll::Pending,
            };
            if let Some(bytes) = ready {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use futures::FutureExt;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test]
    async fn what_arrives_is_what_was_sent_and_memory_stays_small() {
        let line = "a line of text that repeats itself, again and again\n".repeat(700);
        let sent = line.repeat(200);
        let chunks: Vec<_> =
            (0..200).map(|_| Ok::<_, BodyError>(Frame::data(Bytes::from(line.clone())))).collect();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        let frames = chunks.into_iter().chain([Ok(Frame::trailers(trailers.clone()))]);
        let body = Body::wrapped(StreamBody::new(futures::stream::iter(frames)));
        let (mut body, mut compressed) = (encoded(body, When::Full, Place::take().unwrap()), Vec::new());
        loop {
            match body.frame().await.unwrap().unwrap().into_data() {
                Ok(chunk) => {
                    assert!(chunk.len() <= 2 * line.len(), "{} bytes at once", chunk.len());
                    compressed.extend_from_slice(&chunk);
                }
                Err(frame) => {
                    assert_eq!(frame.into_trailers().unwrap(), trailers);
                    break;
                }
            }
        }
        assert!(body.frame().await.is_none());
        let mut received = String::new();
        GzDecoder::new(compressed.as_slice()).read_to_string(&mut received).unwrap();
        assert!(received == sent && compressed.len() * 10 < sent.len());
    }

    #[test]
    fn a_piece_that_somebody_may_wait_for_is_not_held_back() {
        let (pieces, source) = futures::channel::mpsc::unbounded();
        let mut body = encoded(Body::wrapped(StreamBody::new(source)), When::Quiet, Place::take().unwrap());
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        for piece in ["one ", "two ", "three"] {
            pieces.unbounded_send(Ok::<_, BodyError>(Frame::data(Bytes::from(piece)))).unwrap();
            while let Some(frame) = body.frame().now_or_never() {
                decoder.write_all(&frame.unwrap().unwrap().into_data().unwrap()).unwrap();
            }
            decoder.flush().unwrap();
            assert!(decoder.get_ref().ends_with(piece.as_bytes()), "{piece}");
        }
        assert_eq!(decoder.get_ref().as_slice(), b"one two three");
    }
}
