//! A section taken out of the manifest takes its child away, and only that.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::children;
use goodgo_e2e::scenario::{Namespace, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

async fn gone(shop: &Namespace, kind: &str, name: &str) -> Result<()> {
    eventually(&format!("{kind} {name} is gone"), SOON, || async {
        ensure!(shop.find(kind, name).await?.is_none(), "it is still there\n{}", shop.get(kind, name).await?);
        Ok(())
    })
    .await
}

async fn there(shop: &Namespace, kind: &str, name: &str) -> Result<Value> {
    eventually(&format!("{kind} {name} is there"), SOON, || shop.get(kind, name)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_disruption_and_account_go_with_their_sections_and_pods_stay() -> Result<()> {
    let shop = Namespace::new("sections", 4).await?;
    shop.service("web", json!({"scaling": {"min": 2, "max": 3, "cpuPercent": 500}})).await?;
    shop.ready("web").await?;
    let pods = shop.settled("web", 2, &[]).await?;
    there(&shop, "HorizontalPodAutoscaler", "web--hpa").await?;
    there(&shop, "PodDisruptionBudget", "web--pdb").await?;

    shop.service("web", json!({"replicas": 2})).await?;
    gone(&shop, "HorizontalPodAutoscaler", "web--hpa").await?;
    shop.ready("web").await?;
    let after = shop.settled("web", 2, &[]).await?;
    assert_eq!(names(&pods), names(&after), "taking the autoscaler away moved no pod");

    shop.service("web", json!({"replicas": 2, "disruption": {"disabled": true}})).await?;
    gone(&shop, "PodDisruptionBudget", "web--pdb").await?;
    shop.service("web", json!({"replicas": 2})).await?;
    there(&shop, "PodDisruptionBudget", "web--pdb").await?;
    shop.service("web", json!({"replicas": 1})).await?;
    gone(&shop, "PodDisruptionBudget", "web--pdb").await?;
    shop.settled("web", 1, &[]).await?;

    shop.service("web", json!({"replicas": 1, "serviceAccountName": "default"})).await?;
    gone(&shop, "ServiceAccount", "web--app").await?;
    shop.service("web", json!({"replicas": 1})).await?;
    there(&shop, "ServiceAccount", "web--app").await?;
    shop.ready("web").await?;
    Ok(())
}

fn names(pods: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = pods.iter().map(|pod| pod["metadata"]["name"].to_string()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_runtime_off_calls_go_to_cluster_dns_and_its_file_is_gone() -> Result<()> {
    let shop = Namespace::new("runtime-off", 4).await?;
    // A callee with a runtime would ask who calls, and without one nobody could say.
    shop.service("iam-service", json!({"port": 3001, "runtime": {"enabled": false}})).await?;
    let on = json!({"port": 3002, "calls": [{"service": "iam-service"}]});
    shop.service("user-service", on.clone()).await?;
    shop.ready("iam-service").await?;
    shop.ready("user-service").await?;
    there(&shop, "ConfigMap", "user-service--runtime").await?;
    assert_eq!(url_of_iam(&shop).await?, "http://127.0.0.1:14100");
    works(&shop).await?;

    let mut off = on.clone();
    off["runtime"] = json!({"enabled": false});
    shop.service("user-service", off).await?;
    gone(&shop, "ConfigMap", "user-service--runtime").await?;
    let deployment = shop.ready("user-service").await?;
    assert_eq!(deployment["status"]["summary"]["runtime"], "off");
    let pods = shop.settled("user-service", 1, &[]).await?;
    let url = url_of_iam(&shop).await?;
    let host = url.trim_start_matches("http://").trim_end_matches('/').replace("local.:", "local:");
    assert_eq!(host, format!("iam-service.{}.svc.cluster.local:3001", shop.name));
    assert!(pods[0]["spec"]["initContainers"].as_array().is_none_or(Vec::is_empty), "no sidecar");
    works(&shop).await?;

    shop.service("user-service", on).await?;
    there(&shop, "ConfigMap", "user-service--runtime").await?;
    shop.ready("user-service").await?;
    assert_eq!(url_of_iam(&shop).await?, "http://127.0.0.1:14100");
    // What a pod without a runtime has taken when it ends is lost: nobody tells its clients to go.
    shop.settled("user-service", 1, &[]).await?;
    works(&shop).await
}

async fn url_of_iam(shop: &Namespace) -> Result<String> {
    let deployment = shop.get("Deployment", "user-service").await?;
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned();
    let env = env.context("the app has variables")?;
    let url = env.iter().find(|variable| variable["name"] == "IAM_SERVICE_URL").context("IAM_SERVICE_URL")?;
    Ok(url["value"].as_str().unwrap_or_default().to_owned())
}

async fn works(shop: &Namespace) -> Result<()> {
    let url = format!("http://{}/users/1", shop.address("user-service").await?);
    let (status, body) = goodgo_e2e::http::get(&url, SOON).await?;
    ensure!(status == 200 && body.contains("orders:read"), "{status} {body}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_runs_before_the_pods_and_goes_with_its_section() -> Result<()> {
    let shop = Namespace::new("migrate", 3).await?;
    // Any program that ends well: the runtime's own help.
    let runtime = shop.platform.images.runtime.clone();
    let migrate = json!({"image": runtime, "command": ["/goodgo-runtime", "--help"]});
    shop.service("web", json!({"migrate": migrate})).await?;
    let web = shop.ready("web").await?;
    assert_eq!(web["status"]["replicas"]["ready"], 1, "{}", web["status"]);
    let job = job(&shop).await?.context("the migration's Job")?;
    assert_eq!(job["status"]["succeeded"], 1, "{}", job["status"]);
    let pods = shop.settled("web", 1, &[]).await?;
    let (finished, started) = (&job["status"]["completionTime"], &pods[0]["metadata"]["creationTimestamp"]);
    assert!(finished.as_str() <= started.as_str(), "pods ({started}) came after the migration ({finished})");

    shop.service("web", json!({})).await?;
    eventually("the Job is gone", SOON, || async {
        ensure!(job_name(&shop).await?.is_none());
        Ok(())
    })
    .await?;
    shop.ready("web").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_migration_stalls_and_the_old_pods_stay() -> Result<()> {
    let shop = Namespace::new("migrate-fails", 3).await?;
    shop.service("web", json!({})).await?;
    shop.ready("web").await?;
    let before = shop.settled("web", 1, &[]).await?;
    let runtime = shop.platform.images.runtime.clone();
    let migrate = json!({"image": runtime, "command": ["/goodgo-runtime", "--no-such-flag"]});
    shop.service("web", json!({"restartToken": "2", "migrate": migrate})).await?;
    let stalled = shop.until("web", "Stalled", "True", &[], Duration::from_secs(150)).await?;
    let reason = goodgo_e2e::scenario::condition(&stalled, "Stalled").map(|found| found["reason"].clone());
    assert_eq!(reason, Some(json!("MigrationFailed")));
    let after = shop.settled("web", 1, &[]).await?;
    assert_eq!(names(&before), names(&after), "the old pods serve on");

    // Taking the migration out is the way on.
    shop.service("web", json!({"restartToken": "2"})).await?;
    shop.ready("web").await?;
    Ok(())
}

async fn job(shop: &Namespace) -> Result<Option<Value>> {
    match job_name(shop).await? {
        Some(name) => shop.find("Job", &name).await,
        None => Ok(None),
    }
}

async fn job_name(shop: &Namespace) -> Result<Option<String>> {
    let all = children(shop, "web").await?;
    Ok(all.keys().find_map(|key| key.strip_prefix("Job/").map(str::to_owned)))
}
