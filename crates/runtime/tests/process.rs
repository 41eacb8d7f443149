//! The real program: its memory, its signals, its exit codes and its log.

#![cfg(test)]

mod support;

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use support::program::Program;
use support::{config, get, nobody, send, upstream};

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 1600;

#[tokio::test]
async fn a_hundred_megabytes_each_way_pass_in_constant_memory() {
    let app = upstream(|request| async move { Response::new(request.into_body().boxed()) }).await;
    let mut program = Program::start(app.address, &config([]), &[]);
    let service = program.address("service");
    send(service, get("/")).await;
    let before = program.peak_kib();
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let frames = futures::stream::iter((0..CHUNKS).map(move |_| Ok(Frame::data(chunk.clone()))));
    let request = Request::post("/echo").body(StreamBody::new(frames).boxed()).unwrap();
    let mut body = send(service, request).await.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().map(|data| data.len()).unwrap_or_default();
    }
    assert_eq!(length, CHUNK * CHUNKS);
    let grown = program.peak_kib() - before;
    assert!(grown < 4 * 1024, "grew by {grown} KiB");
}

#[tokio::test]
async fn sigterm_ends_it_promptly_with_success() {
    let mut program = Program::start(nobody().await, &config([]), &[]);
    let service = program.address("service");
    let idle = support::http1(service).await;
    let start = Instant::now();
    program.terminate();
    let status = tokio::task::spawn_blocking(move || program.child.wait().unwrap()).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(idle);
}

#[test]
fn a_port_that_is_taken_is_named_and_fails_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_goodgo-runtime"))
        .args(["--listen", "127.0.0.1", "--drain-port", "0", "--admin-port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    let event: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let expected = format!(
        "failed to bind the admin listener to 127.0.0.1:{port}: Address already in use (os error 98)"
    );
    assert_eq!(event["message"], expected);
}

#[test]
fn check_tells_a_good_file_from_a_bad_one() {
    let check = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let program = env!("CARGO_BIN_EXE_goodgo-runtime");
        let output = Command::new(program).arg("--check").arg(file.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = check(&config([]).to_json().unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("revision a1 of shop/user-service"), "{said}");
    let (code, said) =
        check(r#"{"version":"v1alpha1","revision":"","service":{"name":"a","namespace":"b"}}"#);
    assert_eq!(code, Some(1));
    assert!(said.contains("revision: must be 1 to 64"), "{said}");
}

#[test]
fn the_files_of_the_laptop_guide_are_good() {
    for name in ["iam-service", "user-service"] {
        let file = format!("{}/../../examples/laptop/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let output =
            Command::new(env!("CARGO_BIN_EXE_goodgo-runtime")).args(["--check", &file]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
