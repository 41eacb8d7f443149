//! Callees that are killed, paused, half-open, resetting or refusing: what their callers get, and how soon they are spared.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use support::dns::Dns;
use support::{Running, assert_problem, config, full, get, http2, nobody, saying, send, to, to_service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;

const PODS: &str = "_service._tcp.iam--pods.shop.svc.cluster.local.";

/// A callee of bare TCP: `serve` gets each connection. It ends, connections and all, with the handle.
struct Raw {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

async fn raw<F, R>(serve: F) -> Raw
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let accepting = tokio::spawn(async move {
        let mut serving = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            serving.spawn(serve(stream));
        }
    });
    Raw { address, connections, accepting: accepting.abort_handle() }
}

/// Answers every request on a connection with `ok`, until the process ends.
async fn answering(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    }
}

async fn running(dns: &Dns, pods: &[SocketAddr]) -> Running {
    dns.pods(PODS, pods, 5);
    let call = to_service("iam.shop.svc.cluster.local.", 1, PODS);
    Running::start_with_dns(dns, &config([("iam", call)])).await
}

async fn status(running: &Running) -> StatusCode {
    send(running.call("iam"), get("/")).await.status()
}

#[tokio::test]
async fn a_killed_pod_costs_what_it_was_working_on_and_nothing_else() {
    let dns = Dns::start().await;
    let (killed, healthy) = (raw(answering).await, saying("ok").await);
    let running = running(&dns, &[killed.address, healthy.address]).await;
    for _ in 0..40 {
        assert_eq!(status(&running).await, StatusCode::OK);
    }
    assert!(killed.connections.load(Ordering::SeqCst) > 0);
    // Idle connections are closed and new ones refused; DNS still names it.
    killed.accepting.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..200 {
        let post = Request::post("/").body(full("x")).unwrap();
        assert_eq!(send(running.call("iam"), post).await.status(), StatusCode::OK);
    }
    running.stop().await;
}

#[tokio::test]
async fn refusing_pods_are_passed_over_and_named_when_there_is_no_other() {
    let dns = Dns::start().await;
    let (refusing, healthy) = (nobody().await, saying("ok").await);
    let some = running(&dns, &[refusing, healthy.address]).await;
    for _ in 0..100 {
        assert_eq!(status(&some).await, StatusCode::OK);
    }
    some.stop().await;
    let (one, other) = (nobody().await, nobody().await);
    let none = running(&dns, &[one, other]).await;
    let response = send(none.call("iam"), get("/")).await;
    assert_problem(response, 502, "ConnectFailed").await;
    none.stop().await;
}

#[tokio::test]
async fn a_resetting_pod_is_left_out_after_three_requests() {
    let dns = Dns::start().await;
    // Takes the request, and resets the connection.
    let resetting = raw(|mut stream| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let healthy = saying("ok").await;
    let running = running(&dns, &[resetting.address, healthy.address]).await;
    let mut failed = 0;
    for _ in 0..60 {
        failed += usize::from(status(&running).await != StatusCode::OK);
    }
    // It may have worked on them, so they are not sent again here. One more is a probe, should this take five seconds.
    assert!((3..=4).contains(&failed), "{failed} of 60 failed");
    running.stop().await;
}

#[tokio::test]
async fn a_paused_pod_is_left_out_once_calls_have_waited_for_it_in_vain() {
    let dns = Dns::start().await;
    // As a stopped process: the kernel accepts, and nobody answers.
    let paused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let healthy = saying("ok").await;
    dns.pods(PODS, &[paused.local_addr().unwrap(), healthy.address], 5);
    let mut call = to_service("iam.shop.svc.cluster.local.", 1, PODS);
    call.policy.timeout_ms = 1_100;
    let running = Running::start_with_dns(&dns, &config([("iam", call)])).await;
    let mut waited = 0;
    for _ in 0..60 {
        match status(&running).await {
            StatusCode::OK => {}
            late => {
                assert_eq!(late, StatusCode::GATEWAY_TIMEOUT);
                waited += 1;
            }
        }
    }
    assert!((1..=3).contains(&waited), "{waited} of 60 requests waited in vain");
    running.stop().await;
}

#[tokio::test]
async fn clients_that_go_away_at_once_are_not_the_pods_fault() {
    let dns = Dns::start().await;
    let sleepy = raw(|mut stream| async move {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    })
    .await;
    let other = raw(answering).await;
    let running = running(&dns, &[sleepy.address, other.address]).await;
    for _ in 0..30 {
        let _ = tokio::time::timeout(Duration::from_millis(20), send(running.call("iam"), get("/"))).await;
    }
    // Three failures would have ejected it.
    assert!(sleepy.connections.load(Ordering::SeqCst) > 3);
    running.stop().await;
}

#[tokio::test]
async fn a_machine_that_is_gone_costs_time_and_no_request() {
    // A full accept queue drops the handshakes of further clients: to them the callee is a machine that is gone.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full_queue = socket.listen(1).unwrap();
    let address = full_queue.local_addr().unwrap();
    let mut queued = Vec::new();
    for _ in 0..8 {
        let connecting = TcpStream::connect(address);
        queued.extend(tokio::time::timeout(Duration::from_millis(100), connecting).await);
    }
    let dns = Dns::start().await;
    let healthy = saying("ok").await;
    let running = running(&dns, &[address, healthy.address]).await;
    let mut waited = 0;
    for _ in 0..30 {
        let begun = Instant::now();
        // A part of the time to connect is kept for another pod.
        assert_eq!(status(&running).await, StatusCode::OK);
        waited += usize::from(begun.elapsed() > Duration::from_millis(400));
    }
    assert!((1..=4).contains(&waited), "{waited} of 30 waited for a machine that is gone");
    running.stop().await;
}

#[tokio::test]
async fn an_http2_callee_that_says_goodbye_after_each_answer_loses_no_request() {
    let callee = raw(|stream| async move {
        let mut served = 0;
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(http::Response::new(()), true).unwrap();
            served += 1;
            if served == 1 {
                connection.graceful_shutdown();
            }
        }
    })
    .await;
    let running = Running::start(nobody().await, &config([("iam", to(callee.address))])).await;
    let client = http2(running.call("iam")).await;
    for _ in 0..10 {
        let request = Request::post("http://iam/").body(full("x")).unwrap();
        assert_eq!(client.clone().send_request(request).await.unwrap().status(), StatusCode::OK);
    }
    assert!(callee.connections.load(Ordering::SeqCst) > 1);
    running.stop().await;
}
