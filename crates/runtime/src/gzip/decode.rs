//! A request's body that another runtime encoded, as the app is to see it.
//!
//! What a few bytes decode to may be a thousand times as much. It is produced piece by piece, as the app reads, and never
//! more of it than was announced.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use flate2::write::GzDecoder;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::proxy::{Body, BodyError};

/// Largest body that is sent encoded, and so the most that one is decoded to, in bytes.
pub(crate) const LARGEST: u64 = 64 * 1024 * 1024;

/// What `body` is without its coding: `length` bytes. It breaks off where it is no gzip or is shorter. Of what is longer,
/// more than `length` bytes are handed over, and those as one piece: a limit on the body's size cuts it off before its
/// reader has all that it was promised.
pub(crate) fn decoded(body: Body, length: u64) -> Body {
    Body::wrapped(Decoded {
        body,
        decoder: GzDecoder::new(Vec::new()),
        input: Bytes::new(),
        length,
        given: 0,
        last: None,
        trailers: None,
        ended: false,
    })
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("failed to decode the body")]
    Coding(#[from] io::Error),
    #[error("failed to decode the body: it is shorter than was announced")]
    Length,
}

struct Decoded {
    body: Body,
    decoder: GzDecoder<Vec<u8>>,
    /// Not decoded yet.
    input: Bytes,
    length: u64,
    given: u64,
    /// Makes the length full: kept until it is certain that nothing follows and that the checksum is right.
    last: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// The decoder has let go of everything.
    ended: bool,
}

impl Decoded {
    /// Decodes some of the input: the decoder stops when its own buffer of 32 KiB is full.
    fn step(&mut self) -> Result<Option<Bytes>, Broken> {
        let taken = self.decoder.write(&self.input)?;
        if taken == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "something follows the end").into());
        }
        self.input.advance(taken);
        Ok(self.output())
    }

    /// The rest, once all of the input has been taken.
    fn finish(&mut self) -> Result<Option<Bytes>, Broken> {
        self.decoder.try_finish()?;
        let too_much = self.output();
        self.ended = true;
        if self.given < self.length { Err(Broken::Length) } else { Ok(too_much.or_else(|| self.last.take())) }
    }

    fn output(&mut self) -> Option<Bytes> {
        let output = Bytes::from(std::mem::take(self.decoder.get_mut()));
        self.given += output.len() as u64;
        if output.is_empty() {
            return None;
        }
        if self.given == self.length {
            self.last = Some(output);
            return None;
        }
        match self.last.take() {
            Some(last) => Some([last, output].concat().into()),
            None => Some(output),
        }
    }
}

impl HttpBody for Decoded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        while !this.ended {
            let ready = if this.input.is_empty() {
                match ready!(Pin::new(&mut this.body).poll_frame(cx)?).map(Frame::into_data) {
                    Some(Ok(chunk)) => {
                        this.input = chunk;
                        None
                    }
                    Some(Err(frame)) => {
                        this.trailers = frame.into_trailers().ok();
                        this.finish()?
                    }
                    None => this.finish()?,
                }
            } else {
                this.step()?
            };
            if let Some(bytes) = ready {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.last.as_ref().map_or(0, |last| last.len() as u64);
        SizeHint::with_exact(self.length.saturating_sub(self.given) + kept)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes out of `bytes`, which come in pieces of `size`, and the largest piece that went out.
    async fn all(bytes: &[u8], size: usize, length: u64) -> Result<(Vec<u8>, usize), BodyError> {
        let pieces: Vec<_> =
            bytes.chunks(size).map(|piece| Ok::<_, BodyError>(Frame::data(piece.to_vec().into()))).collect();
        let mut body = decoded(Body::wrapped(StreamBody::new(futures::stream::iter(pieces))), length);
        let (mut plain, mut largest) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let data = frame?.into_data().unwrap();
            largest = largest.max(data.len());
            plain.extend_from_slice(&data);
        }
        Ok((plain, largest))
    }

    #[tokio::test]
    async fn what_was_encoded_comes_out_in_small_pieces_however_it_came() {
        let text = "again and again, ".repeat(200_000).into_bytes();
        let zeros = vec![0; 8 * 1024 * 1024];
        for plain in [text, zeros] {
            let sent = gzip(&plain);
            for size in [1, 7, 1000, usize::MAX] {
                let (received, largest) = all(&sent, size.min(sent.len()), plain.len() as u64).await.unwrap();
                assert!(received == plain, "in pieces of {size}");
                assert!(largest <= 128 * 1024, "{largest} bytes at once, in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_longer_than_announced_is_seen_to_be_before_all_is_handed_over() {
        let plain = b"0123456789".repeat(20_000);
        let sent = gzip(&plain);
        for length in [0, 1, 32 * 1024, 64 * 1024, plain.len() - 1] {
            let mut body = decoded(Body::whole(sent.clone()), length as u64);
            let mut seen = 0;
            while let Some(Ok(frame)) = body.frame().await {
                let more = frame.data_ref().unwrap().len();
                assert!(seen < length || length == 0, "{length} bytes were there before it was too much");
                seen += more;
                if seen > length {
                    break;
                }
            }
            assert!(seen > length, "{length}: only {seen}");
        }
    }

    #[tokio::test]
    async fn what_is_broken_breaks_off() {
        let (plain, sent) = (b"something".repeat(100), gzip(&b"something".repeat(100)));
        let length = plain.len() as u64;
        let mut wrong_sum = sent.clone();
        wrong_sum[sent.len() - 5] ^= 1;
        let followed = [&sent[..], b"more"].concat();
        for (what, bytes, length) in [
            ("no gzip", &plain[..], length),
            ("cut", &sent[..sent.len() - 9], length),
            ("without its sum", &sent[..sent.len() - 3], length),
            ("a wrong sum", &wrong_sum, length),
            ("followed by something", &followed, length),
            ("shorter than announced", &sent, length + 1),
            ("nothing", &[], length),
        ] {
            for size in [1, 1000] {
                assert!(all(bytes, size, length).await.is_err(), "{what}");
            }
        }
    }
}
