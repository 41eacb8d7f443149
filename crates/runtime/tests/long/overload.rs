//! Three services in a chain, asked for three times what the last one can do: with the limit at each of them, what is
//! served is still most of what can be; without, next to nothing comes in time.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use support::{Running, Upstream, assert_problem, config, full, get, to, upstream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// What a client waits at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of the last app: 100 requests a second.
const WORKERS: usize = 4;
const SERVICE_TIME: Duration = Duration::from_millis(40);
const LOAD_SECONDS: u32 = 10;
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

/// Asks `next` for every request, and answers what it says.
async fn passing_app(next: SocketAddr) -> Upstream {
    upstream(move |_| async move {
        let status = ask(next).await;
        Response::builder().status(status).body(full("")).unwrap()
    })
    .await
}

async fn ask(address: SocketAddr) -> StatusCode {
    match answer(address, false).await {
        Some(response) => response.status(),
        None => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// None when it does not come in time.
async fn answer(address: SocketAddr, low_priority: bool) -> Option<Response<Incoming>> {
    let asking = async {
        let stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
        tokio::spawn(connection);
        let mut request: Request<support::Body> = get("/");
        request.headers_mut().insert("host", http::HeaderValue::from_static("a"));
        if low_priority {
            request.headers_mut().insert("x-goodgo-priority", http::HeaderValue::from_static("low"));
        }
        sender.send_request(request).await.ok()
    };
    timeout(PATIENCE, asking).await.ok().flatten()
}

/// Requests a second that are served in time under an even load of `rate` a second, once things have settled.
async fn goodput(address: SocketAddr, rate: u32) -> f64 {
    let (start, served) = (Instant::now(), Arc::new(AtomicU32::new(0)));
    let pause = Duration::from_secs(1) / rate;
    for index in 0..rate * LOAD_SECONDS {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_at_three_times_its_capacity_serves_most_of_what_it_can_and_recovers() {
    let last = busy_app().await;
    let third = Running::start(last.address, &config([])).await;
    // The apps in the middle are made after the runtimes whose calls they make.
    let (mut next, mut tiers) = (third.service(), vec![third]);
    for _ in 0..2 {
        let holder = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let unused = holder.local_addr().unwrap();
        let calls = Running::start(unused, &config([("next", to(next))])).await;
        let app = passing_app(calls.call("next")).await;
        let tier = Running::start(app.address, &config([])).await;
        next = tier.service();
        tiers.extend([calls, tier]);
    }
    let before = capacity(next).await;
    let rate = 300;
    let limited = goodput(next, rate).await;
    // Recovered: somebody who asks now and then is always served.
    let stopped = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < 20 {
        in_a_row = if ask(next).await == StatusCode::OK { in_a_row + 1 } else { 0 };
        assert!(stopped.elapsed() < Duration::from_secs(5), "not recovered");
    }
    let recovered = stopped.elapsed();
    // A machine that does other work as well is not equally fast all the time.
    let capacity = capacity(next).await.min(before);
    let unprotected = busy_app().await;
    let unlimited = goodput(unprotected.address, rate).await;
    let report = format!(
        "capacity {capacity:.0}/s; served of {rate}/s with the limit {limited:.0}/s, recovered after {} ms; without {unlimited:.0}/s",
        recovered.as_millis()
    );
    println!("{report}");
    assert!(limited >= 0.9 * capacity, "{report}");
    assert!(unlimited < 0.5 * limited, "{report}");
    for tier in tiers {
        tier.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn low_priority_is_shed_first_and_the_refusal_says_when_to_come_back() {
    let app = busy_app().await;
    let running = Running::start(app.address, &config([])).await;
    let (start, rate) = (Instant::now(), 300);
    let mut answers = Vec::new();
    for index in 0..rate * 7 {
        tokio::time::sleep_until(start + Duration::from_secs(1) / rate * index).await;
        let counted = start.elapsed() >= SETTLED;
        let asking = tokio::spawn(answer(running.service(), index % 2 == 0));
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
