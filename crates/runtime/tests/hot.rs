//! The configuration file changes while traffic flows.

#![cfg(test)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use goodgo_runtime_config::Call;
use serde_json::Value;
use support::{Running, assert_problem, config, get, nobody, saying, send, text, to};

async fn reported(running: &Running) -> Value {
    serde_json::from_str(&running.admin("/config").await.1).unwrap()
}

#[tokio::test]
async fn nothing_is_served_before_the_first_good_file() {
    let app = saying("hello").await;
    let running = Running::launch(app.address, &[], &[]).await;
    assert_eq!(running.admin("/live").await.0, 200);
    assert_eq!(running.admin("/startup").await.0, 503);
    assert_eq!(running.admin("/ready").await.0, 503);
    running
        .eventually("the missing file is reported", || async {
            reported(&running).await["lastError"]["message"]
                .as_str()
                .is_some_and(|m| m.contains("No such file"))
        })
        .await;
    // Waits in the accept queue.
    let early = tokio::spawn(send(running.service(), get("/")));
    running.put(&config([]));
    running.started().await;
    assert_eq!(running.admin("/ready").await.0, 200);
    assert_eq!(text(early.await.unwrap()).await, "hello");
    assert_eq!(reported(&running).await["lastError"], Value::Null);
    running.stop().await;
}

#[tokio::test]
async fn a_swapped_file_is_in_force_within_a_second_and_restarts_nothing() {
    let (first, second) = (saying("first").await, saying("second").await);
    let missing = Call::unavailable("CalleeMissing", "create it");
    let before = config([("changes", to(first.address)), ("appears", missing), ("stays", to(first.address))]);
    let running = Running::start(nobody().await, &before).await;
    assert_eq!(text(send(running.call("changes"), get("/")).await).await, "first");
    assert_eq!(text(send(running.call("stays"), get("/")).await).await, "first");
    assert_problem(send(running.call("appears"), get("/")).await, 503, "CalleeMissing").await;

    let mut after = config([("changes", to(second.address)), ("appears", to(second.address))]);
    after.calls.insert("stays".to_owned(), to(first.address));
    after.revision = "b2".to_owned();
    let swapped = Instant::now();
    running.put(&after);
    running.eventually("b2 is in force", || async { reported(&running).await["revision"] == "b2" }).await;
    assert!(swapped.elapsed() < Duration::from_secs(1), "{:?}", swapped.elapsed());
    assert_eq!(text(send(running.call("changes"), get("/")).await).await, "second");
    assert_eq!(text(send(running.call("appears"), get("/")).await).await, "second");
    let before = first.connections.load(Ordering::SeqCst);
    assert_eq!(text(send(running.call("stays"), get("/")).await).await, "first");
    assert_eq!(first.connections.load(Ordering::SeqCst), before, "an unchanged target lost its connections");
    assert!(running.admin("/metrics").await.1.contains(r#"config_info{revision="b2"} 1"#));
    running.stop().await;
}

#[tokio::test]
async fn a_bad_file_is_refused_and_reported_while_the_old_one_stays() {
    let callee = saying("still here").await;
    let good = config([("iam-service", to(callee.address))]);
    let running = Running::start(nobody().await, &good).await;
    for (text_of_file, says) in [
        ("{", "EOF"),
        (
            r#"{"version":"v1alpha1","revision":"c3","service":{"name":"a","namespace":"b"},"port":1}"#,
            "unknown field `port`",
        ),
        (r#"{"version":"v1alpha1","revision":"c3","service":{"name":"A","namespace":"b"}}"#, "service.name"),
    ] {
        running.volume.put(text_of_file);
        running
            .eventually(says, || async {
                reported(&running).await["lastError"]["message"].as_str().is_some_and(|m| m.contains(says))
            })
            .await;
        assert_eq!(reported(&running).await["revision"], "a1");
        assert!(running.admin("/metrics").await.1.contains("goodgo_runtime_config_good 0"));
        assert_eq!(text(send(running.call("iam-service"), get("/")).await).await, "still here");
        assert_eq!(running.admin("/ready").await.0, 200, "a bad file takes no pod out of service");
    }
    running.put(&good);
    running
        .eventually("the error is gone", || async { reported(&running).await["lastError"].is_null() })
        .await;
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains("goodgo_runtime_config_good 1"), "{metrics}");
    assert!(metrics.contains(r#"config_loads_total{result="refused"} "#), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn a_listener_whose_call_left_the_file_says_so() {
    let callee = saying("hello").await;
    let running = Running::start(nobody().await, &config([("iam-service", to(callee.address))])).await;
    running.put(&config([]));
    running
        .eventually("the call is gone", || async {
            send(running.call("iam-service"), get("/")).await.status() == 503
        })
        .await;
    assert_problem(send(running.call("iam-service"), get("/")).await, 503, "CallNotConfigured").await;
    running.stop().await;
}
