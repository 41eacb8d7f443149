use std::time::Duration;

use goodgo_runtime_config::{Call, Scheme};

use super::super::connect::Connectors;
use super::super::health::Verdict;
use super::super::peer::InFlight;
use super::super::{Origin, Tls};
use super::*;

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], n))
}

fn make(address: SocketAddr) -> Arc<Peer> {
    let target = Call::to(Scheme::Http, "iam", 80).target.unwrap();
    let connectors = Connectors::new(&Origin::Callee(target), Tls::new(None).unwrap());
    Peer::new(address, connectors.at(address), Duration::from_secs(4))
}

fn set(count: u16) -> Arc<Set> {
    let addresses: Vec<_> = (0..count).map(address).collect();
    Set::renew(None, &addresses, make)
}

/// Requests that each peer got when `concurrency` are under way at a time and each takes its peer's own time in
/// milliseconds: a simulation on a virtual clock.
fn simulate(set: &Arc<Set>, times: &[u64], concurrency: usize, requests: usize) -> Vec<usize> {
    let mut got = vec![0; times.len()];
    let mut busy: Vec<(u64, usize, InFlight)> = Vec::new();
    let mut now = 0;
    for _ in 0..requests {
        while busy.len() >= concurrency {
            let (first, _) = busy.iter().enumerate().min_by_key(|(_, (end, ..))| *end).unwrap();
            let (end, which, done) = busy.swap_remove(first);
            done.peer().measure(Duration::from_millis(times[which]));
            now = end;
        }
        let peer = set.pick(&Avoid::default()).unwrap();
        let which = usize::from(peer.address().port());
        got[which] += 1;
        // Within a tenth of the usual, as real ones are.
        let time = times[which] * 1000 + fastrand::u64(..times[which] * 100);
        busy.push((now + time, which, InFlight::at(Arc::clone(peer))));
    }
    got
}

#[test]
fn four_equal_pods_get_a_quarter_each() {
    for concurrency in [1, 4, 16, 100] {
        let got = simulate(&set(4), &[10; 4], concurrency, 20_000);
        for share in &got {
            assert!((4_000..=6_000).contains(share), "at {concurrency} at a time: {got:?}");
        }
    }
}

#[test]
fn latencies_that_differ_a_little_do_not_matter() {
    let got = simulate(&set(4), &[10, 12, 15, 11], 1, 20_000);
    for share in &got {
        assert!((4_000..=6_000).contains(share), "{got:?}");
    }
}

#[test]
fn a_slow_pod_gets_less_and_its_share_again_when_it_is_as_fast_as_the_others() {
    for concurrency in [1, 4, 16] {
        let set = set(4);
        let got = simulate(&set, &[10, 10, 10, 100], concurrency, 20_000);
        assert!(got[3] < 2_000, "at {concurrency} at a time: {got:?}");
        assert!(got[3] > 20, "it was never tried again: {got:?}");
        simulate(&set, &[10; 4], concurrency, 2_000);
        let got = simulate(&set, &[10; 4], concurrency, 20_000);
        assert!((4_000..=6_000).contains(&got[3]), "at {concurrency} at a time: {got:?}");
    }
}

#[test]
fn what_is_to_be_avoided_is_unless_there_is_nothing_else() {
    let set = set(3);
    let mut avoid = Avoid::default();
    avoid.add(address(0));
    avoid.add(address(2));
    for _ in 0..100 {
        assert_eq!(set.pick(&avoid).unwrap().address(), address(1));
    }
    avoid.add(address(1));
    assert!(set.pick(&avoid).is_some());
}

#[test]
fn an_ejected_pod_gets_nothing_and_the_others_equal_shares() {
    let set = set(4);
    for _ in 0..3 {
        set.peers[1].health().note(Verdict::Silent, || set.health());
    }
    let got = simulate(&set, &[10; 4], 8, 15_000);
    assert_eq!(got[1], 0);
    for which in [0, 2, 3] {
        assert!((4_000..=6_000).contains(&got[which]), "{got:?}");
    }
}

#[test]
fn a_probe_is_made_although_the_pod_is_not_the_lighter_one() {
    let set = set(2);
    let busy: Vec<_> = (0..10).map(|_| InFlight::at(Arc::clone(&set.peers[0]))).collect();
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(
        async {
            for _ in 0..3 {
                set.peers[0].health().note(Verdict::Silent, || set.health());
            }
            assert_eq!(set.pick(&Avoid::default()).unwrap().address(), address(1));
            tokio::time::advance(Duration::from_secs(6)).await;
            assert_eq!(set.pick(&Avoid::default()).unwrap().address(), address(0));
            assert_eq!(set.pick(&Avoid::default()).unwrap().address(), address(1));
        },
    );
    drop(busy);
}

#[test]
fn a_new_answer_keeps_the_peers_that_it_names_again() {
    let old = Set::renew(None, &[address(1), address(2)], make);
    assert!(Arc::ptr_eq(&old, &Set::renew(Some(&old), &[address(1), address(2)], make)));
    old.peers[1].measure(Duration::from_millis(7));
    let new = Set::renew(Some(&old), &[address(0), address(2), address(3)], make);
    assert!(Arc::ptr_eq(&old.peers[1], &new.peers[1]));
    assert_eq!(new.peers.iter().map(|peer| peer.address()).collect::<Vec<_>>(), [0, 2, 3].map(address));
}

/// `cargo test --release -p goodgo-runtime a_pick -- --nocapture` prints the figure.
#[test]
fn a_pick_is_measured() {
    for count in [1, 4, 100] {
        let set = set(count);
        let begun = std::time::Instant::now();
        for _ in 0..1_000_000 {
            let peer = set.pick(std::hint::black_box(&Avoid::default())).unwrap();
            assert_eq!(std::hint::black_box(peer).in_flight(), 0);
        }
        println!("pick of {count}: {} ns", begun.elapsed().as_nanos() / 1_000_000);
    }
}
