//! Packets between the runtime and the pods of its callee, and to its DNS server, vanish at random: calls take longer and
//! succeed, and no pod is blamed for the network.
//!
//! Each test runs a second time as a process in a network of its own, where a rule of iptables drops the packets.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use goodgo_runtime_config::{CallPolicy, Retries};

use crate::support::dns::Dns;
use crate::support::load::{Done, Load, PODS, Pod, Speaks, addresses, iam, pods, taken};
use crate::support::{Running, config};

/// Tells a process that it is the one in a network of its own.
const INSIDE: &str = "GOODGO_OWN_NETWORK";
const CLIENTS: usize = 16;
const REQUESTS: usize = 3_000;
/// Against hanging.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn one_packet_in_a_hundred_costs_time_and_no_request() {
    with_loss("loss::one_packet_in_a_hundred_costs_time_and_no_request", "0.01");
}

#[test]
fn one_packet_in_twenty_costs_more_time_and_no_request() {
    with_loss("loss::one_packet_in_twenty_costs_more_time_and_no_request", "0.05");
}

/// Runs `test`, which is this one, in a network of its own; there, what it is about.
fn with_loss(test: &str, probability: &str) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(inside(probability));
    }
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let output = Command::new("setpriv")
        .args(["--pdeathsig=KILL", "unshare", "--net"])
        .args(if is_root { &[][..] } else { &["--user", "--map-root-user"] })
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

async fn inside(probability: &str) {
    administrate("ip", &["link", "set", "lo", "up"]);
    let log = Log::default();
    log.begin();
    let dns = Dns::start().await;
    let pods: [Pod; 4] = pods(Duration::from_millis(1)).await;
    dns.pods(PODS, &addresses(&pods), 1);
    let policy = CallPolicy { retries: Some(Retries::default()), ..CallPolicy::default() };
    let running = Running::start_with_dns(&dns, &config([("iam", iam().with(policy))])).await;
    // Both ways, so that the shared connections are there.
    let before = [ask(&running, Speaks::Http1).await, ask(&running, Speaks::Http2).await];
    taken(&pods);
    for address in addresses(&pods).into_iter().chain([dns.address]) {
        lose(address, probability);
    }
    for (speaks, before) in [Speaks::Http1, Speaks::Http2].into_iter().zip(before) {
        let done = ask(&running, speaks).await;
        println!(
            "{speaks:?}, {probability} of the packets lost: {} of {} failed, p50 {:?}, p99 {:?}; without loss p99 {:?}",
            done.failed,
            done.sent,
            done.percentile(50),
            done.percentile(99),
            before.percentile(99),
        );
        assert!(done.failed * 1_000 <= done.sent, "{} of {}: {:?}", done.failed, done.sent, done.said);
        // Those whose packets are under way again have more to do than others, and get less for a while.
        assert!(taken(&pods).iter().all(|share| *share > 0));
        let open = established(&pods);
        assert!(open <= CLIENTS * pods.len(), "{open} connections");
    }
    assert!(dropped() > 0, "nothing was lost");
    assert!(!log.text().contains("ejected"), "{}", log.text());
    let made: usize = pods.iter().map(|pod| pod.connections.load(Ordering::SeqCst)).sum();
    println!("{made} connections were made, {} packets lost", dropped());
    // One that is really gone is ejected.
    lose(pods[0].address, "1");
    let load = Load::start(running.call("iam"), CLIENTS, Speaks::Http1, Duration::ZERO).await;
    let lost = Instant::now();
    while !log.text().contains("ejected") {
        assert!(lost.elapsed() < LIMIT, "a pod that is gone stays in service");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop().await;
    // Nothing keeps a connection to a callee that is not called any more.
    let mut without = config([]);
    without.revision = "b2".to_owned();
    running.put(&without);
    let gone = Instant::now();
    while established(&pods) > 0 {
        assert!(gone.elapsed() < LIMIT, "{} connections have leaked", established(&pods));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.stop().await;
}

async fn ask(running: &Running, speaks: Speaks) -> Done {
    let load = Load::start(running.call("iam"), CLIENTS, speaks, Duration::ZERO).await;
    let start = Instant::now();
    while load.sent() < REQUESTS {
        assert!(start.elapsed() < LIMIT, "{} of {REQUESTS} requests after {LIMIT:?}", load.sent());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.stop().await
}

/// Packets from and to `address` vanish.
fn lose(address: SocketAddr, probability: &str) {
    let port = address.port().to_string();
    for protocol in ["tcp", "udp"] {
        for side in ["--sport", "--dport"] {
            administrate(
                "iptables",
                &[
                    &["-A", "INPUT", "-i", "lo", "-p", protocol, side, &port][..],
                    &["-m", "statistic", "--mode", "random", "--probability", probability, "-j", "DROP"],
                ]
                .concat(),
            );
        }
    }
}

/// Packets that the rules have dropped.
fn dropped() -> u64 {
    let rules = administrate("iptables", &["-L", "INPUT", "-n", "-v", "-x"]);
    rules
        .lines()
        .filter(|line| line.contains("DROP"))
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// Runs a program of administrators.
fn administrate(program: &str, args: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("env").arg(format!("PATH={path}")).arg(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said} (packages iproute2 and iptables)");
    String::from_utf8(output.stdout).unwrap()
}

/// Connections of the runtime to the pods that are open at its end.
fn established(pods: &[Pod]) -> usize {
    const ESTABLISHED: &str = "01";
    const CLOSE_WAIT: &str = "08";
    let ports: Vec<String> = pods.iter().map(|pod| format!(":{:04X}", pod.address.port())).collect();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| {
        ports.iter().any(|port| row[2].ends_with(port)) && [ESTABLISHED, CLOSE_WAIT].contains(&row[3])
    })
    .count()
}

/// What the runtime in this process logs.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin(&self) {
        let log = self.clone();
        let writer = move || log.clone();
        tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(writer).init();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
