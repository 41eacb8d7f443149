//! What an intermediary must do to every message: refuse what can't be forwarded safely, end hop-by-hop headers here,
//! and join the two connections when both ends agree to switch protocols (WebSocket).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::{Either, Ready, ready as resolved};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::deadline::Deadline;
use super::malformed::check;
use super::{Body, Failure, headers, websocket};
use crate::drain::{Lifecycle, Phase};
use crate::outbound::Activity;

#[derive(Debug, Clone)]
pub(super) struct NormalizeLayer {
    lifecycle: Lifecycle,
}

impl NormalizeLayer {
    pub(super) fn new(lifecycle: Lifecycle) -> Self {
        Self { lifecycle }
    }
}

impl<S> Layer<S> for NormalizeLayer {
    type Service = Normalize<S>;

    fn layer(&self, inner: S) -> Normalize<S> {
        Normalize { inner, lifecycle: self.lifecycle.clone() }
    }
}

/// The intermediary's duties around a forwarding service.
#[derive(Debug, Clone)]
pub(super) struct Normalize<S> {
    inner: S,
    lifecycle: Lifecycle,
}

impl<S> Service<Request<Incoming>> for Normalize<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Failure>,
{
    type Response = Response<Body>;
    type Error = Failure;
    type Future = Either<Ready<Result<Response<Body>, Failure>>, NormalizeFuture<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        if let Err(failure) = check(&request) {
            return Either::Left(resolved(Err(failure)));
        }
        // Read once, where it comes in: what is left is counted from here on, however long the layers below take.
        if let Some(deadline) = Deadline::of(request.headers(), Instant::now()) {
            request.extensions_mut().insert(deadline);
        }
        let asked = headers::strip(request.headers_mut()).filter(|_| request.version() == Version::HTTP_11);
        let switch = asked.map(|protocol| {
            let client = hyper::upgrade::on(&mut request);
            headers::set_upgrade(request.headers_mut(), protocol);
            Switch { client, lifecycle: self.lifecycle.clone() }
        });
        Either::Right(NormalizeFuture { inner: self.inner.call(request.map(Body::stream)), switch })
    }
}

pin_project! {
    /// Ends the answer's hop-by-hop headers, and joins both ends where they switch protocols.
    pub(super) struct NormalizeFuture<F> {
        #[pin]
        inner: F,
        switch: Option<Switch>,
    }
}

impl<F: Future<Output = Result<Response<Body>, Failure>>> Future for NormalizeFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let granted = headers::strip(response.headers_mut());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(match (this.switch.take(), granted) {
            (Some(switch), Some(protocol)) => Ok(switch.join(response, protocol)),
            _ => {
                Err(Failure::Upgrade("the other end switched without being asked, or without saying to what"))
            }
        })
    }
}

/// A client that asked for another protocol.
struct Switch {
    client: OnUpgrade,
    lifecycle: Lifecycle,
}

impl Switch {
    /// Joins both ends in a task of their own, and returns the answer to the client.
    fn join(self, mut response: Response<Body>, protocol: HeaderValue) -> Response<Body> {
        let Self { client, lifecycle } = self;
        let upstream = hyper::upgrade::on(&mut response);
        let activity = response.extensions_mut().remove::<Activity>();
        let (mut head, body) = response.into_parts();
        headers::set_upgrade(&mut head.headers, protocol);
        // Counted as open, so that a drain gives it its time.
        let tracker = lifecycle.open().clone();
        tracker.spawn(async move {
            let ending = lifecycle.reached(Phase::Finishing);
            match activity {
                Some(activity) => {
                    tokio::select! {
                        () = tunnel(client, upstream, Some(&activity), ending) => {}
                        () = activity.silence() => tracing::debug!("upgraded connection was idle for too long"),
                    }
                }
                None => tunnel(client, upstream, None, ending).await,
            }
            // It holds what the answer occupies, such as its call's place in the bulkhead.
            drop(body);
        });
        Response::from_parts(head, Body::empty())
    }
}

/// Joins both ends until they are done, or `ending` sends them away.
async fn tunnel(
    client: OnUpgrade,
    upstream: OnUpgrade,
    activity: Option<&Activity>,
    ending: impl Future<Output = ()>,
) {
    let joined: Result<(Upgraded, Upgraded), hyper::Error> =
        futures::future::try_join(client, upstream).await;
    let (client, upstream) = match joined {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "protocol switch was not completed");
            return;
        }
    };
    let (client, upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    let copied = match activity {
        Some(activity) => websocket::join(activity.of(client), activity.of(upstream), ending).await,
        None => websocket::join(client, upstream, ending).await,
    };
    if let Err(error) = copied {
        tracing::debug!(%error, "upgraded connection ended");
    }
}
