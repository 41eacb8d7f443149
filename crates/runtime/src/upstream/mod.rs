//! Where requests go: the app on loopback, or a callee. One [`Upstream`] per target, with its connections.
//!
//! ```text
//! app      ────────────────────────────────────→ peer (one)
//! callee   discovery → pods → balance → health → peer (one per address)
//! ```
//!
//! - [`pods`]: the addresses of a callee, and the way of a request to one of them.
//! - [`balance`]: which one: two are drawn, the less busy one is taken.
//! - [`health`]: which ones not: outlier detection. [`attempt`] tells it what came of each request.
//! - [`peer`]: one address with its connections. A request leaves with the HTTP version it came with, so that an app
//!   sees what its client speaks: HTTP/1.1 over a pool ([`http1`]), HTTP/2 over a shared connection ([`http2`]).
//! - [`view`]: all of that for those who look on.
//!
//! Nothing is retried here. What looks like it is not: a connection that could not be made, or that the peer closed
//! before a byte of the request was written, is replaced, for any method.

mod attempt;
mod balance;
mod connect;
mod health;
mod http1;
mod http2;
mod peer;
mod pods;
mod sent;
mod tls;
mod view;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::{Scheme, Target};
use http::header::HOST;
use http::uri::{Authority, Parts, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, Version};

pub(crate) use self::attempt::Try;
use self::connect::Connectors;
pub(crate) use self::http1::Lease;
pub(crate) use self::http2::Stream;
pub(crate) use self::peer::InFlight;
use self::peer::Peer;
use self::pods::Pods;
pub(crate) use self::tls::{Alpn, Tls};
pub(crate) use self::view::Endpoints;
use crate::discovery::Resolver;
use crate::proxy::{Body, Failure};

/// How long a connection to the app may idle. Shorter than the shortest keep-alive of common servers (gunicorn 2 s,
/// Node.js 5 s), so that a request never meets a connection that the app is closing; a new one on loopback costs little.
const APP_IDLE: Duration = Duration::from_secs(1);
/// The same for callees, whose runtimes idle far longer, but an app without one may be a Node.js server.
const CALLEE_IDLE: Duration = Duration::from_secs(4);

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The app in this pod; it sees the Host that its client sent.
    App {
        /// Its port on 127.0.0.1.
        port: u16,
    },
    /// The target of a call; it sees its own name as Host.
    Callee(Target),
}

impl Origin {
    fn scheme(&self) -> Scheme {
        match self {
            Self::App { .. } => Scheme::Http,
            Self::Callee(target) => target.scheme,
        }
    }

    fn host(&self) -> &str {
        match self {
            Self::App { .. } => "127.0.0.1",
            Self::Callee(target) => &target.host,
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::App { port } => *port,
            Self::Callee(target) => target.port,
        }
    }

    /// What belongs into Host and `:authority`: no final dot (servers compare literally), no default port.
    fn authority(&self) -> String {
        let host = self.host();
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match (self.scheme(), self.port()) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme() {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Endpoints that a request should not go to again. Without another one it does go there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Avoid(Vec<SocketAddr>);

impl Avoid {
    pub(crate) fn add(&mut self, endpoint: SocketAddr) {
        if !self.contains(endpoint) {
            self.0.push(endpoint);
        }
    }

    pub(crate) fn contains(&self, endpoint: SocketAddr) -> bool {
        self.0.contains(&endpoint)
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

/// One target and its connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    origin: Origin,
    /// What a callee sees as Host and `:authority`; none for one whose name can be neither.
    name: Option<(Authority, HeaderValue)>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    App(Arc<Peer>),
    Callee(Pods),
}

impl Upstream {
    pub(crate) fn new(origin: Origin, tls: Tls, resolver: Resolver) -> Self {
        let connectors = Connectors::new(&origin, tls);
        let way = match &origin {
            Origin::App { port } => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                Way::App(Peer::new(address, connectors.at(address), APP_IDLE))
            }
            Origin::Callee(target) => Way::Callee(Pods::new(target, connectors, resolver)),
        };
        let authority = origin.authority();
        let name = Authority::try_from(authority.as_str()).ok().zip(HeaderValue::try_from(authority).ok());
        Self { origin, name, way }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Its endpoints as they are now; none of the app, which has but one.
    pub(crate) fn view(&self) -> Option<Endpoints> {
        let Way::Callee(pods) = &self.way else { return None };
        let (discovery, error, endpoints) = pods.view();
        Some(Endpoints { target: self.origin.to_string(), discovery, error, endpoints })
    }

    /// Sends `request` as `how` says and returns the head of the answer; bodies stream.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        how: &Try,
    ) -> Result<Response<Body>, Failure> {
        self.address(&mut request)?;
        if request.version() != Version::HTTP_2 {
            *request.version_mut() = Version::HTTP_11;
        }
        match &self.way {
            Way::App(app) => {
                app.send(request, how.connect_limit()).await.map_err(|undelivered| undelivered.failure)
            }
            Way::Callee(pods) => pods.send(request, how).await,
        }
    }

    /// Rewrites the request's target for this origin: origin-form and Host for HTTP/1.1, `:authority` for HTTP/2.
    fn address(&self, request: &mut Request<Body>) -> Result<(), Failure> {
        if self.is_addressed(request) {
            return Ok(());
        }
        let clients = match &self.origin {
            Origin::Callee(_) => None,
            Origin::App { .. } => request.uri().authority().cloned().or_else(|| host_of(request)),
        };
        let mut parts = Parts::default();
        let path = std::mem::take(request.uri_mut()).into_parts().path_and_query;
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        if request.version() == Version::HTTP_2 {
            request.headers_mut().remove(HOST);
            parts.scheme = Some(match self.origin.scheme() {
                Scheme::Http => http::uri::Scheme::HTTP,
                Scheme::Https => http::uri::Scheme::HTTPS,
            });
            parts.authority = Some(match clients {
                Some(authority) => authority,
                None => self.name()?.0.clone(),
            });
        } else {
            let host = match clients {
                Some(authority) => HeaderValue::try_from(authority.as_str()).map_err(|_| Failure::BadHost)?,
                None => self.name()?.1.clone(),
            };
            request.headers_mut().insert(HOST, host);
        }
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Failure::BadHost)?;
        Ok(())
    }

    /// Whether `request` says already what the app is to see, as those in origin form do.
    fn is_addressed(&self, request: &Request<Body>) -> bool {
        matches!(self.origin, Origin::App { .. })
            && request.version() != Version::HTTP_2
            && request.uri().authority().is_none()
            && request.headers().get(HOST).is_some_and(|host| !host.is_empty())
    }

    fn name(&self) -> Result<&(Authority, HeaderValue), Failure> {
        self.name.as_ref().ok_or(Failure::BadHost)
    }
}

fn host_of(request: &Request<Body>) -> Option<Authority> {
    request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok())
}

#[cfg(test)]
mod tests;
