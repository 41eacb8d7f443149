//! What an intermediary must do to every message: refuse what can't be forwarded safely, end hop-by-hop headers here,
//! and join the two connections when both ends agree to switch protocols (WebSocket).

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tower::{Layer, Service};

use super::malformed::check;
use super::{Body, Failure, headers};
use crate::drain::Lifecycle;

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
    S: Service<Request<Body>, Response = Response<Body>, Error = Failure, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Response<Body>, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        if let Err(failure) = check(&request) {
            return Box::pin(std::future::ready(Err(failure)));
        }
        let asked = headers::strip(request.headers_mut()).filter(|_| request.version() == Version::HTTP_11);
        let switch = asked.map(|protocol| {
            let client = hyper::upgrade::on(&mut request);
            headers::set_upgrade(request.headers_mut(), protocol);
            client
        });
        let response = self.inner.call(request.map(Body::stream));
        let lifecycle = self.lifecycle.clone();
        Box::pin(async move { finish(response.await?, switch, &lifecycle) })
    }
}

fn finish(
    mut response: Response<Body>,
    switch: Option<OnUpgrade>,
    lifecycle: &Lifecycle,
) -> Result<Response<Body>, Failure> {
    let granted = headers::strip(response.headers_mut());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let (Some(client), Some(protocol)) = (switch, granted) else {
        return Err(Failure::Upgrade(
            "the other end switched without being asked, or without saying to what",
        ));
    };
    let upstream = hyper::upgrade::on(&mut response);
    // Counted as open, so that a drain gives it its time.
    lifecycle.open().spawn(tunnel(client, upstream));
    Ok(switching(protocol, response))
}

fn switching(protocol: HeaderValue, mut response: Response<Body>) -> Response<Body> {
    headers::set_upgrade(response.headers_mut(), protocol);
    response.map(|_| Body::empty())
}

/// Copies both ways until both ends are done, 8 KiB at a time.
async fn tunnel(client: OnUpgrade, upstream: OnUpgrade) {
    let joined: Result<(Upgraded, Upgraded), hyper::Error> =
        futures::future::try_join(client, upstream).await;
    let (client, upstream) = match joined {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "protocol switch was not completed");
            return;
        }
    };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
        tracing::debug!(%error, "upgraded connection ended");
    }
}
