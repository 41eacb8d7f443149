//! A running runtime on free ports, real upstreams, and a configuration file that changes as a ConfigMap volume does.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub(crate) mod dns;
pub(crate) mod load;
pub(crate) mod program;
pub(crate) mod tls;
pub(crate) mod tokens;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use goodgo_runtime::args::Args;
use goodgo_runtime::runtime::{Addresses, Ended, Runtime};
use goodgo_runtime_config::{
    Authentication, Call, Drain, Health, Inbound, Observability, Protocol, RuntimeConfig, Scheme, ServiceRef,
    TargetService, Version,
};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// A whole body.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A configuration of user-service with these calls.
pub(crate) fn config(calls: impl IntoIterator<Item = (&'static str, Call)>) -> RuntimeConfig {
    RuntimeConfig {
        version: Version::V1Alpha1,
        revision: "a1".to_owned(),
        service: ServiceRef { name: "user-service".to_owned(), namespace: "shop".to_owned() },
        protocol: Protocol::Http,
        calls: calls.into_iter().map(|(name, call)| (name.to_owned(), call)).collect(),
        inbound: Inbound {
            authentication: Authentication { required: false, ..Authentication::default() },
            ..Inbound::default()
        },
        health: Health::default(),
        observability: Observability::default(),
        drain: Drain { settle_seconds: 1, timeout_seconds: 5, pre_stop: None },
    }
}

/// A call to `address` in clear text.
pub(crate) fn to(address: SocketAddr) -> Call {
    Call::to(Scheme::Http, address.ip().to_string(), address.port())
}

/// A call to a service whose Service is `host` and whose pods are behind the SRV name `pods`.
pub(crate) fn to_service(host: &str, port: u16, pods: &str) -> Call {
    let mut call = Call::to(Scheme::Http, host, port);
    let service = TargetService { pods: Some(pods.to_owned()), identity: false };
    call.target.as_mut().unwrap().service = Some(service);
    call
}

/// A folder in which `runtime.json` is what the kubelet makes of a ConfigMap: a symlink through a symlink.
pub(crate) struct ConfigVolume {
    folder: TempDir,
    versions: AtomicUsize,
}

impl ConfigVolume {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), versions: AtomicUsize::new(0) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("runtime.json")
    }

    /// Swaps in new content in one rename, as the kubelet does.
    pub(crate) fn put(&self, text: &str) {
        let version = format!("..v{}", self.versions.fetch_add(1, Ordering::Relaxed));
        let root = self.folder.path();
        std::fs::create_dir(root.join(&version)).unwrap();
        std::fs::write(root.join(&version).join("runtime.json"), text).unwrap();
        symlink(&version, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        if !self.path().is_symlink() {
            symlink("..data/runtime.json", self.path()).unwrap();
        }
    }
}

/// A runtime in this process.
pub(crate) struct Running {
    pub(crate) addresses: Addresses,
    pub(crate) volume: ConfigVolume,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Ended>,
}

impl Running {
    /// Starts, with a listener for each of the config's calls, and waits until it serves.
    pub(crate) async fn start(app: SocketAddr, config: &RuntimeConfig) -> Self {
        let calls: Vec<_> = config.calls.keys().map(String::as_str).collect();
        let running = Self::launch(app, &calls, &[]).await;
        running.put(config);
        running.started().await;
        running
    }

    /// Starts, with names looked up at `dns` and a listener for each of the config's calls.
    pub(crate) async fn start_with_dns(dns: &dns::Dns, config: &RuntimeConfig) -> Self {
        let calls: Vec<_> = config.calls.keys().map(String::as_str).collect();
        let server = dns.address.to_string();
        let running = Self::launch(nobody().await, &calls, &["--dns-server", &server]).await;
        running.put(config);
        running.started().await;
        running
    }

    /// Starts without a configuration.
    pub(crate) async fn launch(app: SocketAddr, calls: &[&str], more: &[&str]) -> Self {
        let volume = ConfigVolume::new();
        let app_port = app.port().to_string();
        let path = volume.path();
        let mut line = vec!["goodgo-runtime", "--listen", "127.0.0.1", "--app-port", &app_port];
        line.extend(["--config", path.to_str().unwrap(), "--service-port", "0", "--gateway-port", "0"]);
        line.extend(["--admin-port", "0", "--drain-port", "0"]);
        let calls: Vec<_> = calls.iter().map(|name| format!("--call={name}=0")).collect();
        line.extend(calls.iter().map(String::as_str));
        line.extend(more);
        let runtime = Runtime::bind(&Args::parse_from(line)).await.unwrap();
        let addresses = runtime.addresses().clone();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(runtime.run(async {
            let _ = stopped.await;
        }));
        Self { addresses, volume, stop, task }
    }

    pub(crate) fn put(&self, config: &RuntimeConfig) {
        self.volume.put(&config.to_json().unwrap());
    }

    pub(crate) async fn started(&self) {
        self.eventually("/startup answers 200", || async { self.admin("/startup").await.0 == 200 }).await;
    }

    pub(crate) fn service(&self) -> SocketAddr {
        self.addresses.service.unwrap()
    }

    pub(crate) fn call(&self, name: &str) -> SocketAddr {
        self.addresses.calls.iter().find(|(call, _)| call == name).unwrap().1
    }

    /// Status and body of an admin endpoint.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let (parts, body) = send(self.addresses.admin, get(path)).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn drain(&self) -> Value {
        json(send(self.addresses.drain, get("/drain")).await).await
    }

    /// Polls until `holds`, for at most five seconds.
    pub(crate) async fn eventually<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        for _ in 0..200 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not within five seconds: {what}; /config says {}", self.admin("/config").await.1);
    }

    /// What SIGTERM does.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        assert_eq!(self.task.await.unwrap(), Ended::Told);
    }
}

/// An upstream that counts its connections.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
}

/// Serves HTTP/1.1 and HTTP/2 with `handler`.
pub(crate) async fn upstream<F, R>(handler: F) -> Upstream
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let handler = handler.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let response = handler(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Upstream { address, connections }
}

/// An upstream that answers every request with `text`.
pub(crate) async fn saying(text: &'static str) -> Upstream {
    upstream(move |_| async move { Response::new(full(text)) }).await
}

/// An upstream that answers with the head that it saw: `method uri`, then its headers in order of their names, then the body.
pub(crate) async fn mirror() -> Upstream {
    upstream(|request| async move {
        let (head, body) = request.into_parts();
        let mut text = format!("{} {}\n", head.method, head.uri);
        let mut headers: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        text.extend(headers);
        text.push('\n');
        let body = body.collect().await.unwrap().to_bytes();
        text.push_str(std::str::from_utf8(&body).unwrap());
        Response::new(full(text))
    })
    .await
}

/// An address that nobody listens on.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A free port for a program that binds it itself, a while later: outside the range that the system hands out to others.
pub(crate) fn port_for_later() -> u16 {
    loop {
        let port = fastrand::u16(15_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(full("")).unwrap()
}

/// A connection that speaks HTTP/1.1.
pub(crate) async fn http1(address: SocketAddr) -> http1::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// A connection that speaks HTTP/2 from the first byte.
pub(crate) async fn http2(address: SocketAddr) -> http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// One request on a new HTTP/1.1 connection; Host is the address unless it is set.
pub(crate) async fn send(address: SocketAddr, mut request: Request<Body>) -> Response<Incoming> {
    let host = address.to_string().parse().unwrap();
    request.headers_mut().entry("host").or_insert(host);
    http1(address).await.send_request(request).await.unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(crate) async fn json(response: Response<Incoming>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// Asserts that `response` is the runtime's own problem.
pub(crate) async fn assert_problem(response: Response<Incoming>, status: u16, reason: &str) {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.headers()["proxy-status"].to_str().unwrap().starts_with("goodgo-runtime; error="));
    let problem = json(response).await;
    assert_eq!(problem["reason"], reason, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
}
