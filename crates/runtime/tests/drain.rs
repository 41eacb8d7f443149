//! Taking a pod out of service: no request is lost, whatever its connection does.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use goodgo_runtime_config::Drain;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::json;
use support::{Running, assert_problem, config, full, get, http1, http2, saying, send, text, to, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

fn draining(settle_seconds: u32, timeout_seconds: u32) -> goodgo_runtime_config::RuntimeConfig {
    goodgo_runtime_config::RuntimeConfig {
        drain: Drain { settle_seconds, timeout_seconds, pre_stop: None },
        ..config([])
    }
}

/// Posts in a loop over one keep-alive connection for as long as it is open, opens the next one only when a response said
/// that this one ends, and retries nothing. Ends when the pod is forgotten; returns how many requests were answered.
async fn post_until_told(
    address: SocketAddr,
    name: usize,
    forgotten: Arc<AtomicBool>,
) -> Result<usize, String> {
    let mut answered = 0;
    while !forgotten.load(Ordering::SeqCst) {
        let stream = TcpStream::connect(address).await.map_err(|e| format!("connecting: {e}"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        loop {
            let body = format!("{name}/{answered}");
            let request =
                Request::post("/echo").header("host", "user-service").body(full(body.clone())).unwrap();
            sender.ready().await.map_err(|e| format!("{body}: idle connection closed: {e}"))?;
            let response = sender.send_request(request).await.map_err(|e| format!("{body}: {e}"))?;
            let closes = response.headers().get(CONNECTION) == Some(&HeaderValue::from_static("close"));
            let status = response.status();
            let echoed = response.into_body().collect().await.map_err(|e| format!("{body}: {e}"))?.to_bytes();
            if status != 200 || echoed != body {
                return Err(format!("{body}: {status} {echoed:?}"));
            }
            answered += 1;
            if closes {
                break;
            }
        }
    }
    Ok(answered)
}

#[tokio::test]
async fn sixteen_keep_alive_clients_that_post_in_a_loop_lose_nothing() {
    let app = upstream(|request| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Response::new(request.into_body().boxed())
    })
    .await;
    let running = Running::start(app.address, &draining(3, 5)).await;
    let service = running.service();
    let forgotten = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..16).map(|name| tokio::spawn(post_until_told(service, name, Arc::clone(&forgotten)))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let drain = tokio::spawn({
        let drain = running.addresses.drain;
        async move { support::json(send(drain, get("/drain")).await).await }
    });
    // Within the settle time the endpoints elsewhere forget the pod: from then on nobody connects anew.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    forgotten.store(true, Ordering::SeqCst);
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap().expect("a request was lost");
    }
    assert!(!drain.is_finished(), "clients were cut off at the end instead of being sent away before");
    assert!(answered > 200, "only {answered} requests: no load");
    assert_eq!(drain.await.unwrap(), json!({ "drained": true, "open": 0 }));
    running.stop().await;
}

#[tokio::test]
async fn the_next_request_of_an_idle_connection_is_served_and_sends_its_client_away() {
    let app = saying("hello").await;
    let running = Running::start(app.address, &draining(2, 5)).await;
    let mut client = http1(running.service()).await;
    let request = || {
        let mut request = get("/");
        request.headers_mut().insert("host", HeaderValue::from_static("user-service"));
        request
    };
    let response = client.send_request(request()).await.unwrap();
    assert!(!response.headers().contains_key(CONNECTION));
    text(response).await;

    let drain = tokio::spawn(send(running.addresses.drain, get("/drain")));
    running.eventually("/ready answers 503", || async { running.admin("/ready").await.0 == 503 }).await;
    let response = client.send_request(request()).await.unwrap();
    assert_eq!(response.headers()[CONNECTION], "close");
    assert_eq!(text(response).await, "hello");
    assert!(client.ready().await.is_err(), "the connection was left open");
    // New connections are accepted while endpoints settle, and end likewise.
    let response = send(running.service(), get("/")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()[CONNECTION]),
        (200, &"close".parse().unwrap())
    );
    assert_eq!(support::json(drain.await.unwrap()).await["drained"], true);
    assert!(TcpStream::connect(running.service()).await.is_err(), "still accepting after the drain");
    assert_eq!(running.admin("/live").await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn the_drain_waits_for_requests_in_flight_and_is_one_however_often_it_is_asked() {
    let app = upstream(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Response::new(full("late"))
    })
    .await;
    let running = Running::start(app.address, &draining(0, 10)).await;
    let slow = tokio::spawn(send(running.service(), get("/")));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    let (first, second) = tokio::join!(running.drain(), running.drain());
    assert!(start.elapsed() > Duration::from_secs(1), "did not wait: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(4), "waited too long: {:?}", start.elapsed());
    assert_eq!((first["drained"].as_bool(), second["drained"].as_bool()), (Some(true), Some(true)));
    assert_eq!(text(slow.await.unwrap()).await, "late");
    running.stop().await;
}

#[tokio::test]
async fn a_prestop_hook_that_hangs_up_does_not_stop_the_drain() {
    let app = saying("hello").await;
    let running = Running::start(app.address, &draining(1, 5)).await;
    let _ = tokio::time::timeout(Duration::from_millis(100), running.drain()).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(TcpStream::connect(running.service()).await.is_err());
    running.stop().await;
}

#[tokio::test]
async fn the_drain_gives_up_after_its_timeout_and_says_so() {
    let app = upstream(|_| std::future::pending()).await;
    let running = Running::start(app.address, &draining(0, 1)).await;
    let _stuck = tokio::spawn(send(running.service(), get("/")));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(running.drain().await, json!({ "drained": false, "open": 1 }));
    let start = Instant::now();
    running.stop().await;
    assert!(start.elapsed() < Duration::from_secs(1), "nothing is left to wait for after a drain");
}

#[tokio::test]
async fn http2_clients_get_goaway_and_lose_no_stream() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let app = upstream(move |_| {
        let count = Arc::clone(&count);
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            count.fetch_add(1, Ordering::SeqCst);
            Response::new(full("done"))
        }
    })
    .await;
    let running = Running::start(app.address, &draining(1, 5)).await;
    let mut client = http2(running.service()).await;
    let request = || Request::get("http://user-service/").body(full("")).unwrap();
    let streams: Vec<_> = (0..20).map(|_| tokio::spawn(client.send_request(request()))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.drain().await["drained"], true);
    for stream in streams {
        assert_eq!(stream.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(served.load(Ordering::SeqCst), 20);
    assert!(client.ready().await.is_err(), "no GOAWAY came");
    running.stop().await;
}

#[tokio::test]
async fn the_app_can_call_until_the_very_end() {
    let callee = saying("allowed").await;
    let mut config = config([("iam-service", to(callee.address))]);
    config.drain = Drain { settle_seconds: 0, timeout_seconds: 1, pre_stop: None };
    let running = Running::start(callee.address, &config).await;
    let mut client = http1(running.call("iam-service")).await;
    for drained in [false, true] {
        let mut request = get("/");
        request.headers_mut().insert("host", HeaderValue::from_static("127.0.0.1"));
        client.ready().await.unwrap();
        let response = client.send_request(request).await.unwrap();
        assert!(!response.headers().contains_key(CONNECTION));
        assert_eq!(text(response).await, "allowed");
        if !drained {
            assert_eq!(running.drain().await["drained"], true);
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_switched_connection_gets_the_drains_time() {
    let app = upstream(|mut request| async move {
        let switched = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(switched.await.unwrap());
            tokio::time::sleep(Duration::from_millis(1500)).await;
            stream.write_all(b"bye").await.unwrap();
        });
        let response =
            Response::builder().status(101).header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
        response.body(full("")).unwrap()
    })
    .await;
    let running = Running::start(app.address, &draining(0, 5)).await;
    let request =
        Request::get("/").header(CONNECTION, "upgrade").header(UPGRADE, "websocket").body(full("")).unwrap();
    let response = send(running.service(), request).await;
    let reader = tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    });
    let start = Instant::now();
    assert_eq!(running.drain().await, json!({ "drained": true, "open": 0 }));
    assert!(start.elapsed() > Duration::from_secs(1), "the drain did not wait");
    assert_eq!(reader.await.unwrap(), "bye");
    running.stop().await;
}

#[tokio::test]
async fn websockets_are_told_to_go_and_nothing_that_the_app_heard_is_left_unanswered() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let app = upstream(move |mut request| {
        let count = Arc::clone(&count);
        async move {
            let key = derive_accept_key(request.headers()[SEC_WEBSOCKET_KEY].as_bytes());
            let switched = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let stream = TokioIo::new(switched.await.unwrap());
                let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        count.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        socket.send(message).await.unwrap();
                    }
                }
            });
            let response = Response::builder().status(101).header(CONNECTION, "upgrade");
            let response = response.header(UPGRADE, "websocket").header(SEC_WEBSOCKET_ACCEPT, key);
            response.body(full("")).unwrap()
        }
    })
    .await;
    let running = Running::start(app.address, &draining(0, 5)).await;
    let service = running.service();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            tokio::spawn(async move {
                let stream = TcpStream::connect(service).await.unwrap();
                let (mut socket, _) =
                    tokio_tungstenite::client_async("ws://user-service/", stream).await.unwrap();
                for turn in 0.. {
                    let question = Message::text(format!("{client}/{turn}"));
                    // Ahead of the answer, so that there is always one under way.
                    socket.send(question.clone()).await.unwrap();
                    match socket.next().await.unwrap().unwrap() {
                        Message::Close(Some(frame)) => return (turn, u16::from(frame.code)),
                        answer => assert_eq!(answer, question),
                    }
                }
                unreachable!()
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(running.drain().await, json!({ "drained": true, "open": 0 }));
    let mut answered = 0;
    for client in clients {
        let (turns, code) = client.await.unwrap();
        assert_eq!(code, 1001);
        answered += turns;
    }
    assert!(answered > 50, "only {answered} messages: no load");
    assert_eq!(heard.load(Ordering::SeqCst), answered);
    running.stop().await;
}

#[tokio::test]
async fn the_end_without_a_drain_finishes_what_is_in_flight() {
    let app = upstream(|_| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Response::new(full("late"))
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let idle = http1(running.service()).await;
    let slow = tokio::spawn(send(running.service(), get("/")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    running.stop().await;
    assert!(start.elapsed() < Duration::from_secs(3), "idle connections held it up: {:?}", start.elapsed());
    assert_eq!(text(slow.await.unwrap()).await, "late");
    drop(idle);
}

#[tokio::test]
async fn the_gateway_port_drains_with_the_service_port() {
    let app = saying("hello").await;
    let running = Running::start(app.address, &draining(1, 5)).await;
    let gateway = running.addresses.gateway.unwrap();
    let drain = tokio::spawn(send(running.addresses.drain, get("/drain")));
    running.eventually("/ready answers 503", || async { running.admin("/ready").await.0 == 503 }).await;
    let response = send(gateway, get("/")).await;
    assert_eq!(response.headers()[CONNECTION], "close");
    assert_problem(response, 404, "RouteNotDeclared").await;
    drain.await.unwrap();
    assert!(TcpStream::connect(gateway).await.is_err());
    running.stop().await;
}

/// Called when nobody else is served any more, and the drain waits for it.
#[tokio::test]
async fn the_apps_own_hook_is_called_at_the_end() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let app = upstream(move |request| {
        let seen = Arc::clone(&seen);
        async move {
            let path = request.uri().path().to_owned();
            seen.lock().unwrap().push(format!("{path} begins"));
            tokio::time::sleep(Duration::from_millis(500)).await;
            seen.lock().unwrap().push(format!("{path} ends"));
            http::Response::builder().status(500).body(full("as you like")).unwrap()
        }
    })
    .await;
    let mut config = draining(0, 20);
    let path = "/stop".to_owned();
    config.drain.pre_stop = Some(goodgo_runtime_config::PreStop { port: app.address.port(), path });
    let running = Running::start(app.address, &config).await;
    let last = tokio::spawn(send(running.service(), get("/last")));
    running.eventually("it is being served", || async { !order.lock().unwrap().is_empty() }).await;
    assert_eq!(running.drain().await["drained"], true);
    last.await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["/last begins", "/last ends", "/stop begins", "/stop ends"]);
    assert_eq!(running.drain().await["drained"], true);
    assert_eq!(order.lock().unwrap().len(), 4, "once");
    running.stop().await;
}
