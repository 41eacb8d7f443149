//! A callee that is not there, comes, and goes.

use anyhow::Result;
use goodgo_e2e::http;
use goodgo_e2e::scenario::{Namespace, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_callee_that_appears_later_turns_its_caller_good_without_a_touch() -> Result<()> {
    let shop = Namespace::new("missing", 3).await?;
    shop.service("user-service", json!({"port": 3002, "calls": [{"service": "iam-service"}]})).await?;

    // It runs, and says what is missing and where.
    shop.until("user-service", "CallsResolved", "False", &["iam-service"], SOON).await?;
    shop.until("user-service", "WorkloadAvailable", "True", &[], SOON).await?;
    let waiting = shop.until("user-service", "Ready", "False", &["iam-service"], SOON).await?;
    assert_eq!(waiting["status"]["calls"][0]["state"], "Failed", "{}", waiting["status"]);
    let pods = uids(&shop.settled("user-service", 1, &[]).await?);
    let url = format!("http://{}/users/1", shop.address("user-service").await?);
    let (status, body) = http::get(&url, SOON).await?;
    assert_eq!(status, 502, "the app is up, the call is not: {body}");
    assert!(body.contains("iam-service"), "who is missing is in the answer: {body}");

    shop.service("iam-service", json!({"port": 3001})).await?;
    shop.ready("iam-service").await?;
    let good = shop.ready("user-service").await?;
    assert_eq!(
        good["metadata"]["generation"], waiting["metadata"]["generation"],
        "nobody touched the caller"
    );
    assert_eq!(good["status"]["calls"][0]["state"], "Ok");
    // Until the hot file has reached the runtime.
    eventually("the call works", SOON, || async {
        let (status, body) = http::get(&url, SOON).await?;
        anyhow::ensure!(status == 200, "{status} {body}");
        Ok(())
    })
    .await?;
    assert_eq!(uids(&shop.settled("user-service", 1, &[]).await?), pods, "and its pods were not replaced");

    shop.delete("GoodGoService", "iam-service").await?;
    shop.until("user-service", "Ready", "False", &["iam-service"], SOON).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_does_not_accept_the_caller_opens_nothing_and_says_so() -> Result<()> {
    let shop = Namespace::new("access", 3).await?;
    shop.service("ledger", json!({"access": {"callers": [{"service": "billing"}]}})).await?;
    shop.service("web", json!({"calls": [{"service": "ledger"}]})).await?;
    shop.until("web", "CallsResolved", "False", &["ledger"], SOON).await?;
    shop.until("web", "Ready", "False", &["ledger"], SOON).await?;
    shop.ready("ledger").await?;

    shop.edit("GoodGoService", "ledger", json!({"spec": {"access": {"callers": [{"service": "web"}]}}}))
        .await?;
    shop.ready("web").await?;
    Ok(())
}

fn uids(pods: &[Value]) -> Vec<String> {
    pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect()
}
