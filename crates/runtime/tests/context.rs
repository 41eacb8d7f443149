//! What belongs to one user's request goes on with the calls that are made for it, and with no other.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use goodgo_runtime_config::{Call, CallPolicy, RuntimeConfig, TargetService, Tracing};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use support::{Body, Running, config, full, get, http1, mirror, nobody, send, text, to, upstream};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

/// A call to a service of the platform that gets the user's credentials.
fn forwarding(address: SocketAddr) -> Call {
    let mut call = to(address).with(CallPolicy {
        forward_authorization: true,
        concurrency: 1_000,
        ..CallPolicy::default()
    });
    call.target.as_mut().unwrap().service = Some(TargetService { pods: None, identity: false });
    call
}

/// An app that answers with what its calls answered, a line each, and passes on nothing but `x-goodgo-context`.
struct Caller {
    address: SocketAddr,
    call: Arc<OnceLock<SocketAddr>>,
}

impl Caller {
    async fn new(calls_for_one: usize) -> Self {
        let call: Arc<OnceLock<SocketAddr>> = Arc::default();
        let calls = Arc::new(Calls { address: Arc::clone(&call), idle: Mutex::default() });
        let app = upstream(move |request: Request<Incoming>| {
            let calls = Arc::clone(&calls);
            async move {
                let context = &request.headers()["x-goodgo-context"];
                let made = (0..calls_for_one).map(|_| {
                    let mut call = get(&request.uri().to_string());
                    call.headers_mut().insert("x-goodgo-context", context.clone());
                    call.headers_mut().insert("host", "iam".parse().unwrap());
                    calls.make(call)
                });
                let answers = futures::future::join_all(made).await;
                Response::new(full(answers.join("\n")))
            }
        })
        .await;
        Self { address: app.address, call }
    }

    async fn runtime(&self, config: &RuntimeConfig) -> Running {
        let running = Running::start(self.address, config).await;
        self.call.set(running.call("iam")).unwrap();
        running
    }
}

/// The app's connections to its runtime, kept alive as every client library does.
struct Calls {
    address: Arc<OnceLock<SocketAddr>>,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

impl Calls {
    async fn make(&self, call: Request<Body>) -> String {
        let idle = self.idle.lock().unwrap().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => http1(*self.address.get().unwrap()).await,
        };
        connection.ready().await.unwrap();
        let answer = text(connection.send_request(call).await.unwrap()).await;
        self.idle.lock().unwrap().push(connection);
        answer
    }
}

fn with(mut request: Request<Body>, pairs: &[(&'static str, &str)]) -> Request<Body> {
    for (name, value) in pairs {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// The headers that a `mirror` says it saw.
fn seen(text: &str) -> HeaderMap {
    let lines = text.lines().skip(1).take_while(|line| !line.is_empty());
    let pairs = lines.map(|line| line.split_once(": ").unwrap());
    pairs.map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

fn parent_of(headers: &HeaderMap) -> (String, String, String) {
    let parts: Vec<_> = headers["traceparent"].to_str().unwrap().split('-').map(str::to_owned).collect();
    (parts[1].clone(), parts[2].clone(), parts[3].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_two_users_never_cross_in_a_hundred_thousand_interleaved_calls() {
    const CALLS: usize = 100_000;
    const CALLS_FOR_ONE: usize = 10;
    const AT_ONCE: usize = 50;
    let callee = upstream(|request| async move {
        let token = request.headers().get("authorization").map(|token| token.as_bytes().to_vec());
        // Answers out of order, so that calls of both users are under way all the time.
        for _ in 0..fastrand::u8(..4) {
            tokio::task::yield_now().await;
        }
        Response::new(full(token.unwrap_or_default()))
    })
    .await;
    let caller = Caller::new(CALLS_FOR_ONE).await;
    let running = caller.runtime(&config([("iam", forwarding(callee.address))])).await;
    let asking = (0..AT_ONCE).map(|connection| {
        let service = running.service();
        tokio::spawn(async move {
            let (mut client, mut right) = (http1(service).await, 0);
            for number in 0..CALLS / CALLS_FOR_ONE / AT_ONCE {
                let token = format!("Bearer user-{}", (connection + number) % 2);
                // The same correlation id for both: it must not be what finds the token.
                let pairs = [("host", "app"), ("authorization", &*token), ("x-correlation-id", "same")];
                // A busy machine may shed some: they are asked again, and no answer ever has another's token.
                for _ in 0..100 {
                    client.ready().await.unwrap();
                    let answer = client.send_request(with(get("/"), &pairs)).await.unwrap();
                    let answer = text(answer).await;
                    let tokens = answer.lines().filter(|line| line.starts_with("Bearer"));
                    assert!(tokens.clone().all(|found| found == token), "{answer} instead of {token}");
                    assert!(answer.lines().all(|line| !line.is_empty()), "no token instead of {token}");
                    if tokens.count() == CALLS_FOR_ONE {
                        right += CALLS_FOR_ONE;
                        break;
                    }
                }
            }
            right
        })
    });
    let right: usize = futures::future::join_all(asking).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(right, CALLS);
    running.stop().await;
}

#[tokio::test]
async fn a_call_continues_the_request_that_it_is_made_for() {
    let callee = mirror().await;
    let caller = Caller::new(1).await;
    let running = caller.runtime(&config([("iam", forwarding(callee.address))])).await;
    let request = with(
        get("/me"),
        &[
            ("authorization", "Bearer of-the-user"),
            ("x-correlation-id", "of-the-user"),
            ("x-goodgo-timeout-ms", "4000"),
            ("x-goodgo-priority", "low"),
            ("traceparent", PARENT),
            ("tracestate", "vendor=1"),
            ("baggage", "a=1"),
            ("baggage", "b=2"),
        ],
    );
    let headers = seen(&text(send(running.service(), request).await).await);
    assert_eq!(headers["authorization"], "Bearer of-the-user");
    assert_eq!(headers["x-correlation-id"], "of-the-user");
    assert_eq!(headers["x-goodgo-priority"], "low");
    let left: u64 = headers["x-goodgo-timeout-ms"].to_str().unwrap().parse().unwrap();
    assert!((1..=4000).contains(&left), "{left}");
    // Without traces the context is passed on as it came.
    assert_eq!(headers["traceparent"], PARENT);
    assert_eq!(
        (&headers["tracestate"], &headers["baggage"]),
        (&"vendor=1".parse().unwrap(), &"a=1,b=2".parse().unwrap())
    );
    assert!(!headers.contains_key("x-goodgo-context"));
    running.stop().await;
}

#[tokio::test]
async fn what_is_guessed_finds_nothing() {
    let (app, callee) = (mirror().await, mirror().await);
    let running = Running::start(app.address, &config([("iam", forwarding(callee.address))])).await;
    let request = with(get("/"), &[("authorization", "Bearer of-the-user"), ("x-correlation-id", "known")]);
    let to_app = seen(&text(send(running.service(), request).await).await);
    let context = to_app["x-goodgo-context"].to_str().unwrap().to_owned();
    assert_eq!((context.len(), &to_app["x-correlation-id"]), (32, &"known".parse().unwrap()));

    // The right one, just after the answer: still found.
    let call = with(get("/"), &[("x-goodgo-context", &context)]);
    let headers = seen(&text(send(running.call("iam"), call).await).await);
    assert_eq!(headers["authorization"], "Bearer of-the-user");
    // What the client knows, a guess, and the right one after the grace: not.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for (name, value) in
        [("x-correlation-id", "known"), ("x-goodgo-context", "0"), ("x-goodgo-context", &context)]
    {
        let headers = seen(&text(send(running.call("iam"), with(get("/"), &[(name, value)])).await).await);
        assert!(!headers.contains_key("authorization"), "{name}");
        assert!(!headers.contains_key("x-goodgo-context"), "{name}");
    }
    // One that a client sends is not the app's.
    let request = with(get("/"), &[("x-goodgo-context", &context)]);
    let to_app = seen(&text(send(running.service(), request).await).await);
    assert_ne!(to_app["x-goodgo-context"], *context);
    running.stop().await;
}

#[tokio::test]
async fn an_app_that_answers_with_its_headers_shows_no_context() {
    let app = upstream(|request: Request<Incoming>| async move {
        let mut response = Response::new(full(""));
        *response.headers_mut() = request.headers().clone();
        response
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let answer = send(running.service(), get("/")).await;
    assert!(answer.headers().contains_key("x-correlation-id"));
    assert!(!answer.headers().contains_key("x-goodgo-context"));
    running.stop().await;
}

#[tokio::test]
async fn correlation_ids_are_made_at_the_first_hop_and_replaced_when_they_could_do_harm() {
    let (app, callee) = (mirror().await, mirror().await);
    let running = Running::start(app.address, &config([("iam", forwarding(callee.address))])).await;
    let long = "a".repeat(129);
    for (sent, kept) in [(None, false), (Some("kept-1"), true), (Some("a b"), false), (Some(&*long), false)] {
        for address in [running.service(), running.call("iam")] {
            let pairs: Vec<_> = sent.iter().map(|sent| ("x-correlation-id", *sent)).collect();
            let headers = seen(&text(send(address, with(get("/"), &pairs)).await).await);
            let id = headers["x-correlation-id"].to_str().unwrap();
            assert_eq!(Some(id) == sent, kept, "{sent:?} became {id}");
            assert!(kept || (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{id}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn nothing_of_the_platform_leaves_it() {
    let external = mirror().await;
    let mut call = forwarding(external.address);
    call.target.as_mut().unwrap().service = None;
    let caller = Caller::new(1).await;
    let running = caller.runtime(&config([("iam", call)])).await;
    let request = with(
        get("/"),
        &[
            ("authorization", "Bearer of-the-user"),
            ("x-correlation-id", "of-the-user"),
            ("x-goodgo-timeout-ms", "4000"),
            ("traceparent", PARENT),
            ("tracestate", "vendor=1"),
            ("baggage", "user=7"),
        ],
    );
    let headers = seen(&text(send(running.service(), request).await).await);
    let names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["host"]);
    running.stop().await;
}

#[tokio::test]
async fn traces_are_continued_begun_and_begun_again() {
    let callee = mirror().await;
    let caller = Caller::new(1).await;
    let mut config = config([("iam", forwarding(callee.address))]);
    let endpoint = format!("http://{}", nobody().await);
    config.observability.tracing = Some(Tracing { endpoint, sampling_percent: 100 });
    let running = caller.runtime(&config).await;
    let ask = async |pairs: &[(&'static str, &str)]| {
        seen(&text(send(running.service(), with(get("/"), pairs)).await).await)
    };
    let (trace, parent, flags) = parent_of(&ask(&[("traceparent", PARENT)]).await);
    assert_eq!((&*trace, &*flags), ("0af7651916cd43dd8448eb211c80319c", "01"));
    assert_ne!(parent, "00f067aa0ba902b7", "each hop is a span of its own");
    let unsampled = PARENT.replace("-01", "-00");
    assert_eq!(ask(&[("traceparent", &unsampled)]).await["traceparent"], *unsampled);
    for (traceparent, tracestate) in [(None, None), (Some("00-nonsense-01"), Some("vendor=1"))] {
        let pairs: Vec<_> = [("traceparent", traceparent), ("tracestate", tracestate)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let headers = ask(&pairs).await;
        assert_eq!(parent_of(&headers).2, "01");
        assert!(!headers.contains_key("tracestate"), "without a valid traceparent it means nothing");
    }
    config.observability.tracing.as_mut().unwrap().sampling_percent = 0;
    config.revision = "b2".to_owned();
    running.put(&config);
    running.eventually("nothing is sampled", || async { parent_of(&ask(&[]).await).2 == "00" }).await;
    running.stop().await;
}
