//! `/endpoints`: what an operator of the pod sees of the callees' pods.

#![cfg(test)]

mod support;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use goodgo_runtime_config::{Call, CallPolicy, Unavailable};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use support::dns::{Dns, Mood};
use support::{Running, config, full, get, http2, nobody, saying, send, text, to, to_service, upstream};
use tokio::sync::Semaphore;

const HOST: &str = "iam.shop.svc.cluster.local.";
const PODS: &str = "_service._tcp.iam--pods.shop.svc.cluster.local.";

async fn seen(running: &Running, call: &str) -> Value {
    let (status, body) = running.admin("/endpoints").await;
    assert_eq!(status, 200);
    let mut whole: Value = serde_json::from_str(&body).unwrap();
    whole["calls"][call].take()
}

#[tokio::test]
async fn a_call_shows_its_pods_their_connections_and_what_is_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let slow = upstream(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await.unwrap().forget();
            Response::new(full("done"))
        }
    })
    .await;
    let dns = Dns::start().await;
    dns.pods(PODS, &[slow.address], 30);
    let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 80, PODS))])).await;

    let resting =
        json!({"target": "http://iam.shop.svc.cluster.local", "discovery": "Resting", "endpoints": []});
    assert_eq!(seen(&running, "iam").await, resting);
    assert_eq!(dns.queries(PODS, hickory_resolver::proto::rr::RecordType::SRV), 0, "looking asked DNS");

    let under_way = tokio::spawn(send(running.call("iam"), get("/")));
    let endpoint = async || seen(&running, "iam").await["endpoints"][0].clone();
    running.eventually("one is in flight", || async { endpoint().await["inFlight"] == 1 }).await;
    let one = endpoint().await;
    assert_eq!(one["address"], slow.address.to_string());
    assert_eq!(one["connections"], json!({"http1Idle": 0, "http2": 0}));
    assert!(one.get("ejected").is_none() && one.get("latencyMicroseconds").is_none(), "{one}");
    gate.add_permits(2);
    assert_eq!(text(under_way.await.unwrap()).await, "done");
    let request = Request::get("http://iam/").body(full("")).unwrap();
    assert_eq!(http2(running.call("iam")).await.send_request(request).await.unwrap().status(), 200);
    let both = json!({"http1Idle": 1, "http2": 1});
    running.eventually("both connections", || async { endpoint().await["connections"] == both }).await;
    let one = endpoint().await;
    assert!(one["latencyMicroseconds"].as_u64() > Some(0), "{one}");
    assert_eq!((&one["inFlight"], &seen(&running, "iam").await["discovery"]), (&json!(0), &json!("Known")));
    running.stop().await;
}

#[tokio::test]
async fn a_pod_that_is_left_out_says_why_and_until_when() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (good, silent) = (saying("good").await, nobody().await);
    let failing = upstream(|_| async {
        let mut response = Response::new(full("no"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
    .await;
    for (bad, reason) in [(silent, "NoAnswer"), (failing.address, "ServerErrors")] {
        let dns = Dns::start().await;
        dns.pods(PODS, &[good.address, bad], 30);
        let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 80, PODS))])).await;
        let ejected = async |running: &Running, of: String| {
            let whole = seen(running, "iam").await;
            let all = whole["endpoints"].as_array().unwrap().clone();
            all.into_iter().find(|one| one["address"] == *of).unwrap()["ejected"].take()
        };
        let began = now();
        for _ in 0..200 {
            send(running.call("iam"), get("/")).await;
            if !ejected(&running, bad.to_string()).await.is_null() {
                break;
            }
        }
        let said = ejected(&running, bad.to_string()).await;
        assert_eq!((&said["reason"], &said["times"]), (&json!(reason), &json!(1)), "{said}");
        assert_eq!(said["probing"], false);
        let until = said["untilUnixSeconds"].as_u64().unwrap();
        // Five seconds from the ejection, which was some time within this test; the second is cut off.
        assert!((began + 4..=now() + 5).contains(&until), "from {began} until {until}");
        assert!(ejected(&running, good.address.to_string()).await.is_null());
        running.stop().await;
    }
}

#[tokio::test]
async fn a_call_without_endpoints_says_why() {
    let dns = Dns::start().await;
    dns.is(Mood::Failing);
    let callee = saying("hello").await;
    let nowhere = Call {
        target: None,
        unavailable: Some(Unavailable { reason: "NotFound".to_owned(), message: "there is none".to_owned() }),
        policy: CallPolicy::default(),
    };
    let calls = [("iam", to_service(HOST, 80, PODS)), ("fixed", to(callee.address)), ("nowhere", nowhere)];
    let running = Running::start_with_dns(&dns, &config(calls)).await;
    send(running.call("iam"), get("/")).await;
    let iam = seen(&running, "iam").await;
    assert_eq!((&iam["discovery"], &iam["endpoints"]), (&json!("Unknown"), &json!([])), "{iam}");
    assert!(iam["error"].as_str().is_some_and(|error| !error.is_empty()), "{iam}");
    let fixed = seen(&running, "fixed").await;
    assert_eq!(fixed["discovery"], "Fixed");
    assert_eq!(fixed["endpoints"][0]["address"], callee.address.to_string());
    // `/config` says why.
    assert!(seen(&running, "nowhere").await.is_null());
    running.stop().await;
}
