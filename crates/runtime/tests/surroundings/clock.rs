//! The wall clock jumps an hour forth and back while the program runs. What waits and what is learnt goes by the monotonic
//! clock and does not notice; whether a token is valid goes by the wall clock, as its issuer's does.
//!
//! The clock is libfaketime's, which reads from a file by how much the program's wall clock differs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use goodgo_runtime_config::{
    Cache, Call, CallPolicy, Caller, CircuitBreaker, Issuer, Retries, RuntimeConfig,
};
use hickory_resolver::proto::rr::RecordType;
use http::{Request, Response, StatusCode};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::dns::Dns;
use crate::support::load::{Load, PODS, Pod, Speaks, addresses, iam, pods};
use crate::support::program::Program;
use crate::support::tokens::{Signer, claims};
use crate::support::{
    assert_problem, config, full, get, json as body_of, nobody, saying, send, to, upstream,
};

const HOUR: i64 = 3_600;
/// Against hanging: an hour's jump that something waits for would take longer.
const LIMIT: Duration = Duration::from_secs(30);

/// The program with a wall clock that the test sets.
struct Jumping {
    program: Program,
    admin: SocketAddr,
    folder: TempDir,
}

impl Jumping {
    fn start(app: SocketAddr, config: &RuntimeConfig, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offset = folder.path().join("offset");
        std::fs::write(&offset, "+0").unwrap();
        let library = library();
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        let mut program = Program::start_with(app, config, more, &environment);
        let admin = program.address("admin");
        Self { program, admin, folder }
    }

    /// Lets the clock differ by so many seconds, and sees that it does.
    async fn jump(&self, seconds: i64) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, format!("{seconds:+}")).unwrap();
        std::fs::rename(next, self.folder.path().join("offset")).unwrap();
        let live = body_of(send(self.admin, get("/health/live")).await).await;
        let told: jiff::Timestamp = live["timestamp"].as_str().unwrap().parse().unwrap();
        let differs = told.as_second() - jiff::Timestamp::now().as_second() - seconds;
        assert!(differs.abs() < 20, "{seconds} s asked for, and the program says {told}");
    }
}

/// libfaketime where Debian puts it.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found =
        folders.map(|entry| entry.path().join("faketime/libfaketime.so.1")).filter(|path| path.exists());
    found.next().expect("libfaketime.so.1 is missing: apt-get install faketime")
}

fn calls() -> CallPolicy {
    CallPolicy::default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_forth_and_back_fails_no_call_and_keeps_what_was_learnt() {
    let dns = Dns::start().await;
    let pods: [Pod; 2] = pods(Duration::from_millis(2)).await;
    dns.pods(PODS, &addresses(&pods), 5);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = upstream(|_| async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        Response::new(full("slow"))
    })
    .await;
    let failing = upstream(|_| async {
        Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(full("")).unwrap()
    })
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let cached = upstream(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Response::builder().header("cache-control", "max-age=600").body(full("kept")).unwrap() }
    })
    .await;
    let breaker = |reset_after_ms| {
        let breaker = CircuitBreaker { reset_after_ms, ..CircuitBreaker::default() };
        to(failing.address).with(CallPolicy { circuit_breaker: Some(breaker), ..calls() })
    };
    let config = config([
        (
            "cached",
            to(cached.address).with(CallPolicy { cache: Some(Cache { max_age_ms: 600_000 }), ..calls() }),
        ),
        ("iam", iam().with(CallPolicy { retries: Some(Retries::default()), ..calls() })),
        ("long-open", breaker(600_000)),
        ("short-open", breaker(1_000)),
        ("silent", to(silent.local_addr().unwrap()).with(CallPolicy { timeout_ms: 1_000, ..calls() })),
        ("slow", to(slow.address).with(CallPolicy { timeout_ms: 20_000, ..calls() })),
    ] as [(&str, Call); 6]);
    let server = dns.address.to_string();
    let mut jumping = Jumping::start(nobody().await, &config, &["--dns-server", &server]);
    let [cached, iam, long_open, short_open, silent_call, slow] =
        ["cached", "iam", "long-open", "short-open", "silent", "slow"]
            .map(|name| jumping.program.address(name));

    let begun = Instant::now();
    let load = Load::start(iam, 4, Speaks::Http1, Duration::from_millis(2)).await;
    assert_eq!(send(cached, get("/")).await.status(), StatusCode::OK);
    for _ in 0..10 {
        send(long_open, get("/")).await;
    }
    assert_problem(send(long_open, get("/")).await, 503, "CircuitOpen").await;
    for seconds in [HOUR, 0, -HOUR, HOUR, -HOUR, 0] {
        // What waits while the clock jumps.
        let waits = tokio::spawn(send(slow, get("/")));
        let in_vain = tokio::spawn(send(silent_call, get("/")));
        for _ in 0..10 {
            send(short_open, get("/")).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        jumping.jump(seconds).await;
        assert_problem(send(long_open, get("/")).await, 503, "CircuitOpen").await;
        let kept = send(cached, get("/")).await;
        let says = kept.headers()["cache-status"].to_str().unwrap();
        assert!(says.starts_with("goodgo-runtime; hit"), "{seconds}: {says}");
        let answers =
            tokio::time::timeout(LIMIT, async { (waits.await.unwrap(), in_vain.await.unwrap()) }).await;
        let (waited, timed_out) = answers.expect("a deadline waits for the wall clock");
        assert_eq!(waited.status(), StatusCode::OK, "{seconds}");
        assert_problem(timed_out, 504, "CallTimeout").await;
        // A second has passed, whatever the clock says: one is let through to the callee.
        assert_eq!(send(short_open, get("/")).await.status(), StatusCode::INTERNAL_SERVER_ERROR, "{seconds}");
    }
    let done = tokio::time::timeout(LIMIT, load.stop()).await.expect("a client waits for the wall clock");
    println!("{} calls while the clock jumped six times, {} failed", done.sent, done.failed);
    assert_eq!(done.failed, 0, "{:?}", done.said);
    assert!(done.sent > 100, "{}", done.sent);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a kept answer was asked for again");
    // Every answer is good for five seconds and renewed a little before.
    let queries = dns.queries(PODS, RecordType::SRV) as u64;
    let seconds = begun.elapsed().as_secs();
    assert!(queries <= 2 + seconds / 2, "{queries} queries in {seconds} s");
    assert!(seconds < 8 || queries >= 2, "{queries} queries in {seconds} s");
}

#[tokio::test]
async fn a_tokens_validity_follows_the_wall_clock_both_ways() {
    const ISS: &str = "https://kubernetes.default.svc";
    const AUD: &str = "goodgo:cluster/shop/user-service";
    const SUBJECT: &str = "system:serviceaccount:shop:order-service";
    const LIFE: i64 = 600;
    let (app, signer) = (saying("hello").await, Signer::new(Algorithm::ES256, "k"));
    let mut config = config([]);
    let authentication = &mut config.inbound.authentication;
    authentication.required = true;
    authentication.audience = AUD.to_owned();
    let keys = vec![serde_json::from_value(signer.jwk()).unwrap()];
    authentication.issuers = vec![Issuer { issuer: ISS.to_owned(), keys }];
    config.inbound.callers =
        vec![Caller { name: "shop/order-service".to_owned(), subject: SUBJECT.to_owned() }];
    let mut jumping = Jumping::start(app.address, &config, &[]);
    let service = jumping.program.address("service");
    let now = jsonwebtoken::get_current_timestamp();
    // Each is another token, which nothing is known about.
    let token = |number: u32| {
        let mut claims = claims(ISS, AUD, SUBJECT, now + LIFE.unsigned_abs());
        claims["nbf"] = json!(now);
        claims["jti"] = json!(number);
        signer.sign(&claims)
    };
    let ask = async |token: &str| {
        let request = Request::get("/").header("x-service-auth", token).body(full("")).unwrap();
        send(service, request).await
    };
    let known = token(0);
    assert_eq!(ask(&known).await.status(), StatusCode::OK);

    // Clocks may differ by half a minute; further than that, the token has expired, also one that was believed before.
    jumping.jump(LIFE + 10).await;
    assert_eq!(ask(&known).await.status(), StatusCode::OK);
    assert_eq!(ask(&token(1)).await.status(), StatusCode::OK);
    jumping.jump(HOUR).await;
    let late = token(2);
    for token in [&known, &token(1), &late] {
        let refusal = ask(token).await;
        assert_problem(refusal, 401, "CallerUnauthenticated").await;
    }
    jumping.jump(0).await;
    assert_eq!(ask(&known).await.status(), StatusCode::OK);
    // A refusal is remembered for a few seconds.
    let back = Instant::now();
    while ask(&late).await.status() != StatusCode::OK {
        assert!(back.elapsed() < LIMIT, "a token stays refused after the clock was put right");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    jumping.jump(-10).await;
    assert_eq!(ask(&token(3)).await.status(), StatusCode::OK);
    jumping.jump(-HOUR).await;
    let early = token(4);
    assert_problem(ask(&early).await, 401, "CallerUnauthenticated").await;
    jumping.jump(0).await;
    let back = Instant::now();
    while ask(&early).await.status() != StatusCode::OK {
        assert!(back.elapsed() < LIMIT, "a token stays refused after the clock was put right");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
