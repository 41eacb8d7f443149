//! Calls over TLS: verified, with the right name, or not at all.

#![cfg(test)]

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;

use goodgo_runtime_config::{Call, Scheme};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use support::{Running, assert_problem, config, full, get, http2, nobody, send, text};
use tokio::net::TcpListener;

/// A server with a certificate for `name`, of an authority whose certificate is written to `file`. It answers with the
/// SNI, Host and version it saw.
async fn server(name: &str, file: &Path) -> SocketAddr {
    let acceptor = support::tls::acceptor(name, file);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let sni = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                let service = service_fn(move |request: Request<Incoming>| {
                    let host = match request.uri().authority() {
                        Some(authority) if request.version() == Version::HTTP_2 => authority.to_string(),
                        _ => request.headers()["host"].to_str().unwrap().to_owned(),
                    };
                    let seen = format!("{sni} {host} {:?}", request.version());
                    async move { Ok::<_, Infallible>(Response::new(full(seen))) }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

async fn running(calls: &[(&'static str, Call)], anchors: &Path) -> Running {
    let names: Vec<_> = calls.iter().map(|(name, _)| *name).collect();
    let more = ["--tls-ca-file", anchors.to_str().unwrap()];
    let running = Running::launch(nobody().await, &names, &more).await;
    running.put(&config(calls.to_vec()));
    running.started().await;
    running
}

#[tokio::test]
async fn a_trusted_callee_is_called_under_its_name_in_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let anchors = folder.path().join("ca.pem");
    let address = server("localhost", &anchors).await;
    let call = Call::to(Scheme::Https, "localhost", address.port());
    let running = running(&[("payments", call)], &anchors).await;
    let seen = text(send(running.call("payments"), get("/")).await).await;
    assert_eq!(seen, format!("localhost localhost:{} HTTP/1.1", address.port()));
    let request = Request::get("http://127.0.0.1:14100/").body(full("")).unwrap();
    let seen = text(http2(running.call("payments")).await.send_request(request).await.unwrap()).await;
    assert_eq!(seen, format!("localhost localhost:{} HTTP/2.0", address.port()));
    running.stop().await;
}

#[tokio::test]
async fn a_callee_that_is_not_who_it_should_be_gets_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let (anchors, others) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
    let wrong_name = server("other.example", &anchors).await;
    let untrusted = server("localhost", &others).await;
    let no_tls = support::saying("clear text").await;
    let calls = [
        ("wrong-name", Call::to(Scheme::Https, "localhost", wrong_name.port())),
        ("untrusted", Call::to(Scheme::Https, "localhost", untrusted.port())),
        ("no-tls", Call::to(Scheme::Https, "localhost", no_tls.address.port())),
    ];
    let running = running(&calls, &anchors).await;
    for (call, _) in &calls {
        assert_problem(send(running.call(call), get("/")).await, 502, "TlsFailed").await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_file_without_a_certificate_is_refused_at_the_start() {
    use clap::Parser;
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let args =
        goodgo_runtime::args::Args::parse_from(["goodgo-runtime", "--tls-ca-file", empty.to_str().unwrap()]);
    let error = goodgo_runtime::runtime::Runtime::bind(&args).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to read trust anchors from"), "{error}");
}

/// The program as a child, which ends with the test.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_systems_trust_anchors_count_as_well() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let (anchors, file) = (folder.path().join("system.pem"), folder.path().join("runtime.json"));
    let address = server("localhost", &anchors).await;
    let call = Call::to(Scheme::Https, "localhost", address.port());
    std::fs::write(&file, config([("payments", call)]).to_json().unwrap()).unwrap();
    for (system, status) in [(anchors.clone(), 200), (folder.path().join("absent.pem"), 502)] {
        let mut program = Program(
            std::process::Command::new(env!("CARGO_BIN_EXE_goodgo-runtime"))
                .env("SSL_CERT_FILE", system)
                .args([
                    "--listen",
                    "127.0.0.1",
                    "--admin-port",
                    "0",
                    "--drain-port",
                    "0",
                    "--call=payments=0",
                ])
                .arg("--config")
                .arg(&file)
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut log = std::io::BufReader::new(program.0.stderr.take().unwrap()).lines();
        let port = log.find_map(|line| {
            let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let listens = event["message"] == "listening" && event["listener"] == "payments";
            listens.then(|| event["address"].as_str().unwrap().parse().unwrap())
        });
        assert_eq!(send(port.unwrap(), get("/")).await.status(), status);
    }
}
