//! Where requests go: the app on loopback, or a callee. One [`Upstream`] per target, with its connections.
//!
//! A request leaves with the HTTP version it came with, so that an app sees what its client speaks: HTTP/1.1 over a pool
//! ([`http1`]), HTTP/2 over one shared connection ([`http2`]). Nothing is retried here. What looks like it is not: an idle
//! connection that the peer closed before a byte of the request was written is replaced, for any method.

mod connect;
mod http1;
mod http2;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::{Scheme, Target};
use http::header::HOST;
use http::uri::{Authority, Parts, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, Version};

use self::connect::{CONNECT_LIMIT, Connector};
pub(crate) use self::http1::Lease;
pub(crate) use self::tls::Tls;
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

/// Time to connect, name resolution included: an extension of requests that replaces the default of four seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectLimit(pub(crate) Duration);

/// One target and its connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    origin: Origin,
    http1: Arc<http1::Pool>,
    http2: http2::Channel,
}

impl Upstream {
    pub(crate) fn new(origin: Origin, tls: Tls) -> Self {
        let idle = match origin {
            Origin::App { .. } => APP_IDLE,
            Origin::Callee(_) => CALLEE_IDLE,
        };
        let connector = Arc::new(Connector::new(&origin, tls));
        Self {
            origin,
            http1: http1::Pool::new(Arc::clone(&connector), idle),
            http2: http2::Channel::new(connector),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Sends `request` and returns the head of the answer; bodies stream.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
        self.address(&mut request)?;
        let limit = request.extensions().get().map_or(CONNECT_LIMIT, |ConnectLimit(limit)| *limit);
        if request.version() == Version::HTTP_2 {
            self.http2.send(request, limit).await
        } else {
            *request.version_mut() = Version::HTTP_11;
            self.http1.send(request, limit).await
        }
    }

    /// Rewrites the request's target for this origin: origin-form and Host for HTTP/1.1, `:authority` for HTTP/2.
    fn address(&self, request: &mut Request<Body>) -> Result<(), Failure> {
        let authority = match &self.origin {
            Origin::Callee(_) => None,
            Origin::App { .. } => request.uri().authority().cloned().or_else(|| host_of(request)),
        };
        let authority = match authority {
            Some(authority) => authority,
            None => Authority::try_from(self.origin.authority()).map_err(|_| Failure::BadHost)?,
        };
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut parts = Parts::default();
        parts.path_and_query = Some(path);
        if request.version() == Version::HTTP_2 {
            request.headers_mut().remove(HOST);
            parts.scheme = Some(match self.origin.scheme() {
                Scheme::Http => http::uri::Scheme::HTTP,
                Scheme::Https => http::uri::Scheme::HTTPS,
            });
            parts.authority = Some(authority);
        } else {
            let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Failure::BadHost)?;
            request.headers_mut().insert(HOST, host);
        }
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Failure::BadHost)?;
        Ok(())
    }
}

fn host_of(request: &Request<Body>) -> Option<Authority> {
    request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callee(scheme: Scheme, host: &str, port: u16) -> Origin {
        Origin::Callee(Target { scheme, host: host.to_owned(), port, service: None })
    }

    fn addressed(origin: Origin, version: Version, uri: &str, host: Option<&str>) -> Request<Body> {
        let mut request = Request::builder().version(version).uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut request = request.body(Body::empty()).unwrap();
        Upstream::new(origin, Tls::new(None).unwrap()).address(&mut request).unwrap();
        request
    }

    #[test]
    fn a_callee_sees_its_own_name() {
        for (origin, host) in [
            (callee(Scheme::Http, "iam.shop.svc.cluster.local.", 3001), "iam.shop.svc.cluster.local:3001"),
            (callee(Scheme::Http, "iam", 80), "iam"),
            (callee(Scheme::Https, "api.example.com", 443), "api.example.com"),
            (callee(Scheme::Https, "::1", 8443), "[::1]:8443"),
        ] {
            let request = addressed(origin.clone(), Version::HTTP_11, "/a?b=c", Some("127.0.0.1:14100"));
            assert_eq!(request.headers()[HOST], host);
            assert_eq!(request.uri(), "/a?b=c");
            let request = addressed(origin, Version::HTTP_2, "http://127.0.0.1:14100/a?b=c", None);
            assert_eq!(request.uri().authority().unwrap(), host);
            assert!(!request.headers().contains_key(HOST));
        }
    }

    #[test]
    fn the_app_sees_the_clients_host() {
        let app = Origin::App { port: 3000 };
        let request = addressed(app.clone(), Version::HTTP_11, "/", Some("user-service:3000"));
        assert_eq!(request.headers()[HOST], "user-service:3000");
        // RFC 9112 3.2.2: the absolute form wins over Host.
        let request = addressed(app.clone(), Version::HTTP_11, "http://a.example/x", Some("b.example"));
        assert_eq!(request.headers()[HOST], "a.example");
        assert_eq!(request.uri(), "/x");
        let request = addressed(app.clone(), Version::HTTP_2, "http://user-service:3000/x", None);
        assert_eq!(request.uri(), "http://user-service:3000/x");
        let request = addressed(app, Version::HTTP_10, "/", None);
        assert_eq!(request.headers()[HOST], "127.0.0.1:3000");
    }
}
