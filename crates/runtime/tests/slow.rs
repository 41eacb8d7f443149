//! Two thousand clients that send a byte now and then: everybody else is served as before, in little more memory.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::HeaderValue;
use support::{Running, config, get, http1, saying, text};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const SLOW_CLIENTS: usize = 2000;
const REQUESTS: usize = 400;
const MIB: u64 = 1024 * 1024;

/// The 99th percentile of requests one after the other on one connection.
async fn p99(address: SocketAddr) -> Duration {
    let mut client = http1(address).await;
    let mut took = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        client.ready().await.unwrap();
        let mut request = get("/");
        request.headers_mut().insert("host", HeaderValue::from_static("a"));
        let start = Instant::now();
        assert_eq!(text(client.send_request(request).await.unwrap()).await, "served");
        took.push(start.elapsed());
    }
    took.sort_unstable();
    took[REQUESTS * 99 / 100]
}

/// Half of them never finish a head, half never a body.
async fn slow_clients(address: SocketAddr) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for index in 0..SLOW_CLIENTS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        clients.spawn(async move {
            let start: &[u8] = if index % 2 == 0 {
                b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: "
            } else {
                b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n"
            };
            let mut next = start;
            while stream.write_all(next).await.is_ok() {
                next = b"x";
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
    }
    clients
}

/// Resident memory of this process, in bytes: the runtime's, the app's and the clients' together.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_clients_cost_the_others_nothing() {
    let app = saying("served").await;
    let running =
        Running::launch(app.address, &[], &["--head-timeout", "600", "--body-timeout", "600"]).await;
    running.put(&config([]));
    running.started().await;
    p99(running.service()).await;
    let mut seen = Vec::new();
    // Each is measured right beside the other; what a busy machine does in between is not held against us.
    for _ in 0..8 {
        let before = resident();
        let baseline = p99(running.service()).await;
        let clients = slow_clients(running.service()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let loaded = p99(running.service()).await;
        let grown = resident().saturating_sub(before);
        drop(clients);
        println!(
            "p99 {baseline:?} alone, {loaded:?} beside {SLOW_CLIENTS} slow clients, +{} MiB",
            grown / MIB
        );
        seen.push((baseline, loaded, grown));
        if loaded < baseline * 2 {
            break;
        }
    }
    let (baseline, loaded, _) = seen.last().unwrap();
    assert!(*loaded < *baseline * 2, "{seen:?}");
    assert!(seen.iter().all(|(_, _, grown)| *grown <= 64 * MIB), "{seen:?}");
    running.stop().await;
}
