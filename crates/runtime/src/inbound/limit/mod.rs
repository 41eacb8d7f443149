//! Protects the app from more work than it can do ([`gradient`]): what is too much is refused at once instead of served
//! too late. Also where requests of both ports get the same treatment: a deadline that has passed, bodies that stall.

mod gradient;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, Ready, ready};
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Body as _;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;

pub(crate) use self::gradient::Limiter;
use super::refusal::Refusal;
use super::upload::{Entry, Upload, Watch};
use crate::identity::headers::Protected;
use crate::proxy::deadline::Deadline;
use crate::proxy::grpc::is_grpc;
use crate::proxy::{Body, Failure};

/// Around the app, shared by both ports: what they count together is one app's work.
#[derive(Debug, Clone)]
pub(crate) struct Limit<S> {
    inner: S,
    limiter: Arc<Limiter>,
    /// Time without a byte of an unfinished body.
    stall_limit: Duration,
}

/// What the layer above found out about one request.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Whether it is shed first.
    pub(crate) low_priority: bool,
    pub(crate) max_body: Option<Largest>,
    /// What its trailers may not say.
    pub(crate) protected: Arc<Protected>,
}

/// How large a body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Largest {
    pub(crate) bytes: u64,
    /// Where that is declared, as a path below `spec`.
    pub(crate) policy: Option<&'static str>,
}

impl Largest {
    /// What a larger one is answered with.
    pub(crate) fn refusal(self) -> Refusal {
        Refusal::BodyTooLarge { limit: self.bytes, policy: self.policy }
    }
}

impl<S> Limit<S> {
    pub(crate) fn new(inner: S, limiter: Arc<Limiter>, stall_limit: Duration) -> Self {
        Self { inner, limiter, stall_limit }
    }
}

pub(crate) type Limited<F> = Either<Ready<Result<Response<Body>, Failure>>, LimitFuture<F>>;

impl<S> Limit<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Failure>,
{
    /// Serves `request`, or refuses it when that would be too late or too much.
    pub(crate) fn serve(&mut self, mut request: Request<Body>, admitted: Admitted) -> Limited<S::Future> {
        let Admitted { low_priority, max_body, protected } = admitted;
        let now = Instant::now();
        if request.extensions().get::<Deadline>().is_some_and(|deadline| deadline.instant() <= now) {
            return refused(Refusal::DeadlinePassed);
        }
        if let Some(limit) = max_body
            && request.body().size_hint().lower() > limit.bytes
        {
            return refused(limit.refusal());
        }
        if !self.limiter.admits(low_priority, now) {
            return refused(Refusal::Overloaded);
        }
        let phase = if request.body().is_end_stream() {
            self.limiter.enter();
            Phase::Whole(now)
        } else {
            // A stream of HTTP/2, whose pings tell whether its client is there.
            let grpc = request.version() == Version::HTTP_2 && is_grpc(request.headers());
            let stall_limit = (!grpc).then_some(self.stall_limit);
            let entry = if grpc { Entry::Free } else { Entry::Asked { low_priority } };
            let upload = Upload::new(Arc::clone(&self.limiter), now, max_body, stall_limit, entry);
            request.body_mut().watch(Watch::new(Arc::clone(&upload), protected));
            Phase::Arriving(upload)
        };
        let work = Work { limiter: Arc::clone(&self.limiter), phase };
        Either::Right(LimitFuture { inner: self.inner.call(request), work })
    }
}

fn refused<F>(refusal: Refusal) -> Limited<F> {
    Either::Left(ready(Err(refusal.into())))
}

/// The app's work on one request: counted until its answer's head is there. The rest is the network's, and a client that
/// reads slowly must not use the limit up.
#[derive(Debug)]
struct Work {
    limiter: Arc<Limiter>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The app has had the whole request since then.
    Whole(Instant),
    /// Its body is still coming.
    Arriving(Arc<Upload>),
    Done,
}

impl Work {
    /// Ends it, and returns since when the app had the whole request; none when it never had.
    fn end(&mut self) -> Option<Instant> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Whole(since) => {
                self.limiter.leave();
                Some(since)
            }
            Phase::Arriving(upload) => upload.close(),
            Phase::Done => None,
        }
    }

    fn cut_off(&self) -> Option<Refusal> {
        match &self.phase {
            Phase::Arriving(upload) => upload.refusal(),
            Phase::Whole(_) | Phase::Done => None,
        }
    }
}

/// Before its end, the client went away.
impl Drop for Work {
    fn drop(&mut self) {
        if let Some(since) = self.end() {
            self.limiter.abandoned(since, Instant::now());
        }
    }
}

pin_project! {
    /// Measures the app, and tells the client of its own body's fault rather than of what came of it.
    pub(crate) struct LimitFuture<F> {
        #[pin]
        inner: F,
        work: Work,
    }
}

impl<F: Future<Output = Result<Response<Body>, Failure>>> Future for LimitFuture<F> {
    type Output = Result<Response<Body>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = std::task::ready!(this.inner.poll(cx));
        let cut_off = this.work.cut_off();
        let since = this.work.end();
        Poll::Ready(match (result, cut_off) {
            (Ok(response), _) => {
                if let Some(since) = since
                    && tells_latency(&response)
                {
                    this.work.limiter.sample(since, Instant::now());
                }
                Ok(response)
            }
            (Err(_), Some(refusal)) => Err(refusal.into()),
            (Err(failure), None) => Err(failure),
        })
    }
}

/// Failures may be quick because nothing was done, and streams begin whenever there is something to say.
fn tells_latency(response: &Response<Body>) -> bool {
    let events = |kind: &http::HeaderValue| kind.as_bytes().starts_with(b"text/event-stream");
    let stream = response.headers().get(CONTENT_TYPE).is_some_and(events) || is_grpc(response.headers());
    let status = response.status();
    !stream
        && !status.is_server_error()
        && status != StatusCode::SWITCHING_PROTOCOLS
        && status != StatusCode::TOO_MANY_REQUESTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_switches_and_failures_tell_nothing_about_latency() {
        let response = |status: u16, kind: &str| {
            Response::builder().status(status).header(CONTENT_TYPE, kind).body(Body::empty()).unwrap()
        };
        for (status, kind, tells) in [
            (200, "application/json", true),
            (404, "text/plain", true),
            (200, "text/event-stream; charset=utf-8", false),
            (200, "application/grpc+proto", false),
            (200, "Application/gRPC", false),
            (101, "", false),
            (429, "text/plain", false),
            (500, "text/plain", false),
            (503, "text/plain", false),
        ] {
            assert_eq!(tells_latency(&response(status, kind)), tells, "{status} {kind}");
        }
    }
}
