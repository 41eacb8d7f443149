//! Settings change while pods run; what is frozen in the pod template replaces them.

use anyhow::{Result, ensure};
use goodgo_e2e::http;
use goodgo_e2e::oracle::{Times, tell};
use goodgo_e2e::scenario::{Namespace, condition, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);

/// Who the pods are and since when each of their containers runs.
fn identity(pods: &[Value]) -> Vec<Value> {
    let started = |pod: &Value, which: &str| -> Vec<Value> {
        let containers = pod["status"][which].as_array().into_iter().flatten();
        containers.map(|one| json!([one["name"], one["restartCount"], one["state"]["running"]])).collect()
    };
    let mut identities: Vec<_> = pods
        .iter()
        .map(|pod| {
            let uid = &pod["metadata"]["uid"];
            json!([uid, started(pod, "initContainerStatuses"), started(pod, "containerStatuses")])
        })
        .collect();
    identities.sort_by_key(Value::to_string);
    identities
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_setting_is_in_force_without_a_restart() -> Result<()> {
    const TURNS: usize = 100;
    let shop = Namespace::alone("hot").await?;
    let gateway = |path: &str| {
        let route = json!({"name": "who", "path": path, "auth": {"none": {}}});
        json!({"hosts": ["hot.goodgo.example"], "routes": [route]})
    };
    shop.service("web", json!({"replicas": 2, "gateway": gateway("/elsewhere")})).await?;
    shop.ready("web").await?;
    shop.until("web", "InForce", "True", &[], SOON).await?;
    let pods = shop.settled("web", 2, &[]).await?;
    let before = identity(&pods);

    // Asked at each pod's gateway port, as the gateway would.
    let ip =
        |pod: &Value| format!("http://{}:14002/whoami", pod["status"]["podIP"].as_str().unwrap_or_default());
    let urls: Vec<String> = pods.iter().map(ip).collect();
    let mut times = Times::default();
    for turn in 0..TURNS {
        let (path, wanted) = if turn % 2 == 0 { ("/whoami", 200) } else { ("/elsewhere", 404) };
        shop.edit("GoodGoService", "web", json!({"spec": {"gateway": gateway(path)}})).await?;
        let began = Instant::now();
        for url in &urls {
            eventually(&format!("{url} answers {wanted}"), SOON, || async {
                let (status, body) = http::get(url, SOON).await?;
                ensure!(status == wanted, "{status} {body}");
                Ok(())
            })
            .await?;
        }
        times.add(began.elapsed());
    }
    tell(&format!("from an edited route to its effect at both pods: {times}"));
    let seen = shop.until("web", "InForce", "True", &[], SOON).await?;
    ensure!(seen["status"]["configRevision"].is_string(), "{}", seen["status"]);
    assert_eq!(identity(&shop.settled("web", 2, &[]).await?), before, "no container was started again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adding_a_call_replaces_the_pods_and_a_callee_that_appears_does_not() -> Result<()> {
    let shop = Namespace::new("rolls", 4).await?;
    shop.service("web", json!({})).await?;
    shop.ready("web").await?;
    let old: Vec<String> = uids(&shop.settled("web", 1, &[]).await?);
    shop.service("web", json!({"calls": [{"service": "iam-service"}]})).await?;
    let new = uids(&shop.settled("web", 1, &old).await?);
    assert_ne!(old, new);

    shop.service("iam-service", json!({"port": 3001})).await?;
    shop.ready("web").await?;
    let web = shop.until("web", "InForce", "True", &[], SOON).await?;
    assert_eq!(uids(&shop.settled("web", 1, &[]).await?), new);
    let in_force = condition(&web, "InForce");
    assert_eq!(in_force.map(|found| &found["reason"]), Some(&json!("InForce")));
    Ok(())
}

fn uids(pods: &[Value]) -> Vec<String> {
    pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect()
}
