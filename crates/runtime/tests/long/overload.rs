//! Three services in a chain, asked for three times what the last one can do: with the limit at each of them, what is
//! served is still most of what can be; without, next to nothing comes in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use goodgo_runtime_config::{Call, CallPolicy, Retries, TargetService};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Body, Running, Upstream, assert_problem, config, full, get, to, upstream};

/// What a client waits at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of the last app: 100 requests a second.
const WORKERS: usize = 4;
const SERVICE_TIME: Duration = Duration::from_millis(40);
/// Requests a second, three times what the last app can do.
const RATE: u32 = 300;
const LOAD_SECONDS: u32 = 30;
/// Without the limit it is lost within a few seconds.
const UNPROTECTED_SECONDS: u32 = 10;
/// Measured again when too little was served: what a busy machine does in between is not held against the limit.
const ROUNDS: usize = 3;
/// What happens until then is not counted: queues fill, limits are found.
const SETTLED: Duration = Duration::from_secs(4);

/// Does [`WORKERS`] requests at once, in the order in which they came, and finishes each although its client has left, as
/// most servers do.
async fn busy_app() -> Upstream {
    let workers = Arc::new(Semaphore::new(WORKERS));
    upstream(move |_| {
        let workers = Arc::clone(&workers);
        async move {
            let work = tokio::spawn(async move {
                let _worker = workers.acquire().await.unwrap();
                sleep(SERVICE_TIME).await;
            });
            work.await.unwrap();
            Response::new(full("done"))
        }
    })
    .await
}

/// A service in this chain, with retries: they must not make it worse.
fn callee(address: SocketAddr) -> Call {
    let mut call =
        to(address).with(CallPolicy { retries: Some(Retries::default()), ..CallPolicy::default() });
    call.target.as_mut().unwrap().service = Some(TargetService { pods: None, identity: false });
    call
}

/// Asks `next` for every request, in the context of which it does so, and answers what it says.
async fn passing_app(next: SocketAddr) -> Upstream {
    upstream(move |served: Request<Incoming>| async move {
        let mut request = get("/");
        if let Some(context) = served.headers().get("x-goodgo-context") {
            request.headers_mut().insert("x-goodgo-context", context.clone());
        }
        let status = status(answer(next, request).await);
        Response::builder().status(status).body(full("")).unwrap()
    })
    .await
}

fn status(answer: Option<Response<Incoming>>) -> StatusCode {
    answer.map_or(StatusCode::GATEWAY_TIMEOUT, |answer| answer.status())
}

async fn ask(address: SocketAddr) -> StatusCode {
    status(answer(address, get("/")).await)
}

/// None when it does not come in time.
async fn answer(address: SocketAddr, mut request: Request<Body>) -> Option<Response<Incoming>> {
    let asking = async {
        let stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
        tokio::spawn(connection);
        request.headers_mut().insert("host", HeaderValue::from_static("a"));
        sender.send_request(request).await.ok()
    };
    timeout(PATIENCE, asking).await.ok().flatten()
}

/// Requests a second that are served in time under an even load of [`RATE`] for so many seconds, once things have settled.
async fn goodput(address: SocketAddr, seconds: u32) -> f64 {
    let (start, served) = (Instant::now(), Arc::new(AtomicU32::new(0)));
    let pause = Duration::from_secs(1) / RATE;
    for index in 0..RATE * seconds {
        tokio::time::sleep_until(start + pause * index).await;
        let (served, counted) = (Arc::clone(&served), start.elapsed() >= SETTLED);
        tokio::spawn(async move {
            if ask(address).await == StatusCode::OK && counted {
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let counted = start.elapsed() - SETTLED;
    sleep(PATIENCE).await;
    f64::from(served.load(Ordering::Relaxed)) / counted.as_secs_f64()
}

/// What it can do when nobody asks for more than it has workers.
async fn capacity(address: SocketAddr) -> f64 {
    let (start, served) = (Instant::now(), AtomicU32::new(0));
    let client = async || {
        while start.elapsed() < Duration::from_secs(3) {
            if ask(address).await == StatusCode::OK {
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    futures::future::join_all((0..2 * WORKERS).map(|_| client())).await;
    f64::from(served.load(Ordering::Relaxed)) / start.elapsed().as_secs_f64()
}

/// Asks the chain at `first` for three times what `last` can do; whether as much was served as with a limit it must be.
async fn overload(first: SocketAddr, last: &Running, unlimited: f64) -> (String, bool) {
    let before = capacity(first).await;
    let came_before = requests(last).await;
    let limited = goodput(first, LOAD_SECONDS).await;
    let (offered, attempts) = (RATE * LOAD_SECONDS, requests(last).await - came_before);
    // Recovered: somebody who asks now and then is always served.
    let stopped = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < 20 {
        in_a_row = if ask(first).await == StatusCode::OK { in_a_row + 1 } else { 0 };
        assert!(stopped.elapsed() < Duration::from_secs(5), "not recovered");
    }
    let recovered = stopped.elapsed();
    let after = capacity(first).await;
    let report = format!(
        "capacity {before:.0}/s before, {after:.0}/s after; served of {RATE}/s with the limit {limited:.0}/s, {attempts} of \
         {offered} attempts at the last one, recovered after {} ms; without the limit {unlimited:.0}/s",
        recovered.as_millis()
    );
    assert!(f64::from(attempts) <= 1.2 * f64::from(offered), "{report}");
    (report, limited >= 0.9 * before.min(after) && unlimited < 0.5 * limited)
}

/// Requests that have come to its service port, those that it refused included.
async fn requests(running: &Running) -> u32 {
    let metrics = running.admin("/metrics").await.1;
    let lines = metrics.lines().filter(|line| line.starts_with("goodgo_runtime_requests_total{"));
    let of_callers = lines.filter(|line| line.contains(r#"listener="service""#));
    of_callers.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_at_three_times_its_capacity_serves_most_of_what_it_can_and_recovers() {
    let last = busy_app().await;
    let third = Running::start(last.address, &config([])).await;
    // The apps in the middle are made after the runtimes whose calls they make.
    let (mut next, mut tiers) = (third.service(), vec![third]);
    for _ in 0..2 {
        let holder = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let unused = holder.local_addr().unwrap();
        let calls = Running::start(unused, &config([("next", callee(next))])).await;
        let app = passing_app(calls.call("next")).await;
        let tier = Running::start(app.address, &config([])).await;
        next = tier.service();
        tiers.extend([calls, tier]);
    }
    let unprotected = busy_app().await;
    let unlimited = goodput(unprotected.address, UNPROTECTED_SECONDS).await;
    let mut reports = Vec::new();
    for _ in 0..ROUNDS {
        let (report, is_enough) = overload(next, &tiers[0], unlimited).await;
        println!("{report}");
        reports.push(report);
        if is_enough {
            break;
        }
        assert!(reports.len() < ROUNDS, "{reports:#?}");
    }
    for tier in tiers {
        tier.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn low_priority_is_shed_first_and_the_refusal_says_when_to_come_back() {
    let app = busy_app().await;
    let running = Running::start(app.address, &config([])).await;
    let start = Instant::now();
    let mut answers = Vec::new();
    for index in 0..RATE * 7 {
        tokio::time::sleep_until(start + Duration::from_secs(1) / RATE * index).await;
        let counted = start.elapsed() >= SETTLED;
        let mut request = get("/");
        if index % 2 == 0 {
            request.headers_mut().insert("x-goodgo-priority", HeaderValue::from_static("low"));
        }
        let asking = tokio::spawn(answer(running.service(), request));
        if counted {
            answers.push((index % 2 == 0, asking));
        }
    }
    let (mut low, mut normal, mut refusal) = (0, 0, None);
    for (is_low, answer) in answers {
        let Some(answer) = answer.await.unwrap() else { continue };
        match answer.status() {
            StatusCode::OK if is_low => low += 1,
            StatusCode::OK => normal += 1,
            _ => refusal = Some(answer),
        }
    }
    println!("served: {normal} of normal priority, {low} of low");
    assert!(normal > 4 * low, "{normal} of normal priority, {low} of low");
    let refusal = refusal.expect("nothing was shed");
    assert!(refusal.headers().contains_key("retry-after"));
    assert_problem(refusal, 503, "Overloaded").await;
    running.stop().await;
}
