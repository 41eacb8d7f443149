use std::net::Ipv4Addr;

use goodgo_runtime_config::{Call, Scheme};
use tokio::time::advance;

use super::super::connect::Connectors;
use super::super::{Avoid, Origin, Tls};
use super::*;

fn set() -> Arc<Set> {
    let target = Call::to(Scheme::Http, "iam", 80).target.unwrap();
    let connectors = Connectors::new(&Origin::Callee(target), Tls::new(None).unwrap());
    let addresses = [1, 2].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    Set::renew(None, &addresses, |address| Peer::new(address, connectors.at(address), Duration::from_secs(4)))
}

fn first(set: &Set) -> &Arc<Peer> {
    let mut avoid = Avoid::default();
    avoid.add(SocketAddr::from((Ipv4Addr::LOCALHOST, 2)));
    set.pick(&avoid).unwrap()
}

/// Whether three tries that are dropped after `time` eject the peer.
async fn dropped_after(time: Duration, timed_out: bool) -> bool {
    let set = set();
    let peer = first(&set);
    for _ in 0..3 {
        let how = Try::default();
        let attempt = Attempt::begin(&set, peer, &how, None);
        assert_eq!(how.endpoint(), Some(peer.address()));
        assert_eq!(peer.in_flight(), 1);
        advance(time).await;
        if timed_out {
            how.timed_out();
        }
        drop(attempt);
        assert_eq!(peer.in_flight(), 0);
    }
    peer.health().is_out()
}

#[tokio::test(start_paused = true)]
async fn a_dropped_try_is_the_peers_fault_after_a_time_limit_alone() {
    let (short, long) = (Duration::from_millis(900), Duration::from_secs(900));
    assert!(!dropped_after(short, false).await, "a client that goes away");
    assert!(!dropped_after(long, false).await, "a client that listened to a stream");
    assert!(dropped_after(short, true).await, "a time limit");
}

/// A pod is not slow because a client is.
#[tokio::test(start_paused = true)]
async fn a_peers_time_begins_when_it_has_the_whole_request() {
    let set = set();
    let peer = first(&set);
    let (bytes, source) = futures::channel::mpsc::unbounded();
    let mut request = http::Request::new(Body::wrapped(http_body_util::StreamBody::new(source)));
    let sent = Sent::of(&mut request);
    let how = Try::default();
    let attempt = Attempt::begin(&set, peer, &how, sent.as_ref());
    advance(Duration::from_secs(60)).await;
    bytes.unbounded_send(Ok(hyper::body::Frame::data(bytes::Bytes::from_static(b"late")))).unwrap();
    drop(bytes);
    http_body_util::BodyExt::collect(request.into_body()).await.unwrap();
    advance(Duration::from_millis(20)).await;
    attempt.answered(Response::new(Body::empty()));
    let latency = peer.latency();
    assert!((20_000..30_000).contains(&latency), "{latency} microseconds");
    let mut request = http::Request::new(Body::whole("never read"));
    let sent = Sent::of(&mut request);
    let attempt = Attempt::begin(&set, peer, &how, sent.as_ref());
    advance(Duration::from_secs(60)).await;
    attempt.answered(Response::new(Body::empty()));
    assert_eq!(peer.latency(), latency, "an answer before the end says nothing");
}

/// A client that is slow with its body uses a limit up at any pod.
#[tokio::test(start_paused = true)]
async fn a_time_limit_says_nothing_of_a_peer_that_waits_for_the_client() {
    let set = set();
    let peer = first(&set);
    let (bytes, source) = futures::channel::mpsc::unbounded();
    let mut request = http::Request::new(Body::wrapped(http_body_util::StreamBody::new(source)));
    let sent = Sent::of(&mut request);
    let mut body = request.into_body();
    let drop_one = |body: &mut Body, polled: bool| {
        let how = Try::default();
        let attempt = Attempt::begin(&set, peer, &how, sent.as_ref());
        if polled {
            assert!(futures::FutureExt::now_or_never(http_body_util::BodyExt::frame(body)).is_none());
        }
        how.timed_out();
        drop(attempt);
    };
    for _ in 0..6 {
        drop_one(&mut body, true);
    }
    assert!(!peer.health().is_out());
    bytes.unbounded_send(Ok(hyper::body::Frame::data(bytes::Bytes::from_static(b"there")))).unwrap();
    assert!(futures::FutureExt::now_or_never(http_body_util::BodyExt::frame(&mut body)).is_some());
    for _ in 0..3 {
        drop_one(&mut body, false);
    }
    assert!(peer.health().is_out(), "it had all that there was, and took nothing more");
}

#[test]
fn server_errors_in_both_protocols_count_and_what_is_not_implemented_does_not() {
    let answer = |status: u16, grpc: Option<&'static str>| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(grpc) = grpc {
            response.headers_mut().insert(GRPC_STATUS, http::HeaderValue::from_static(grpc));
        }
        verdict(&response)
    };
    for status in [200, 204, 302, 400, 404, 409, 429, 501, 505] {
        assert_eq!(answer(status, None), Verdict::Well, "{status}");
    }
    for status in [500, 502, 503, 504] {
        assert_eq!(answer(status, None), Verdict::Failing, "{status}");
    }
    for grpc in ["0", "5", "12"] {
        assert_eq!(answer(200, Some(grpc)), Verdict::Well, "{grpc}");
    }
    for grpc in ["2", "13", "14", "15"] {
        assert_eq!(answer(200, Some(grpc)), Verdict::Failing, "{grpc}");
    }
}
