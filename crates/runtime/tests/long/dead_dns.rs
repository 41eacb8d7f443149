//! DNS is dead for a whole minute, twelve times as long as its answers are good for.

use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::RecordType;

use crate::support::dns::{Dns, Mood};
use crate::support::load::{Done, Load, PODS, Pod, Speaks, addresses, iam, pods, taken};
use crate::support::{Running, config};

/// As cluster DNS has it, in seconds.
const TTL: u32 = 5;
const DEAD: Duration = Duration::from_secs(60);
/// Until the news is there afterwards: the longest pause between two looks, and one that is under way.
const LIMIT: Duration = Duration::from_secs(15);

/// Calls while DNS is of this mood for a minute, and whether the news that it has afterwards is followed.
async fn a_minute(mood: Mood) -> (Done, Duration, Duration) {
    let dns = Dns::start().await;
    let (old, new): ([Pod; 2], [Pod; 2]) =
        (pods(Duration::from_millis(1)).await, pods(Duration::from_millis(1)).await);
    dns.pods(PODS, &addresses(&old), TTL);
    let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
    // Beside a test that measures: a few requests at a time do.
    let pause = Duration::from_millis(100);
    let load = Load::start(running.call("iam"), 4, Speaks::Http1, pause).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = load.stop().await;
    assert_eq!(before.failed, 0, "{:?}", before.said);
    dns.is(mood);
    let asked = dns.queries(PODS, RecordType::SRV);
    let load = Load::start(running.call("iam"), 4, Speaks::Http1, pause).await;
    tokio::time::sleep(DEAD).await;
    assert!(dns.queries(PODS, RecordType::SRV) > asked, "{mood:?}: it was not asked meanwhile");
    assert_eq!(taken(&new), [0; 2]);
    dns.pods(PODS, &addresses(&new), TTL);
    dns.is(Mood::Answering);
    let back = Instant::now();
    while taken(&new).iter().sum::<usize>() == 0 {
        assert!(back.elapsed() < LIMIT, "{mood:?}: the news did not arrive");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let noticed = back.elapsed();
    let during = load.stop().await;
    running.stop().await;
    (during, before.percentile(50), noticed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_without_dns_fails_no_request_and_slows_none_down() {
    let (failing, silent) = tokio::join!(a_minute(Mood::Failing), a_minute(Mood::Silent));
    for (mood, (during, before, noticed)) in [("SERVFAIL", failing), ("silence", silent)] {
        let median = during.percentile(50);
        println!(
            "a minute of {mood}: {} requests, {} failed, p50 {median:?} ({before:?} before), p99 {:?}, news after {noticed:?}",
            during.sent,
            during.failed,
            during.percentile(99),
        );
        assert_eq!(during.failed, 0, "{mood}: {:?}", during.said);
        // Waiting for DNS would take its whole timeout, seconds.
        assert!(median < before * 10 + Duration::from_millis(100), "{mood}: {median:?}, {before:?} before");
    }
}
