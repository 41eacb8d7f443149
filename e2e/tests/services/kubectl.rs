//! What a person does with kubectl.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::scenario::{Namespace, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_wait_scale_and_describe_tell_and_do_what_they_should() -> Result<()> {
    let shop = Namespace::new("kubectl", 3).await?;
    shop.service("iam-service", json!({"port": 3001})).await?;
    shop.service("user-service", json!({"port": 3002, "calls": [{"service": "iam-service"}]})).await?;
    for service in ["iam-service", "user-service"] {
        let name = format!("goodgoservice/{service}");
        shop.kubectl(&["wait", "--for=condition=Ready", &name, "--timeout=120s"]).await?;
    }

    let table = shop.kubectl(&["get", "goodgoservices"]).await?;
    let (columns, rows) = read(&table)?;
    assert_eq!(columns, ["NAME", "READY", "REASON", "REPLICAS", "URL", "CALLS", "TOPICS", "AGE"]);
    let user = rows.iter().find(|row| row[0] == "user-service").context("user-service's row")?;
    assert_eq!(user[1], "True", "{table}");
    assert!(!user[2].is_empty(), "a reason: {table}");
    assert_eq!([&user[3], &user[4], &user[5], &user[6]], ["1/1", "", "1/1", "-"], "{table}");

    let (columns, rows) = read(&shop.kubectl(&["get", "ggs", "-o", "wide"]).await?)?;
    assert_eq!(columns[8..], ["IMAGE", "RUNTIME", "MESSAGE"]);
    let user = rows.iter().find(|row| row[0] == "user-service").context("user-service's row")?;
    assert_eq!(user[8], shop.platform.images.demo);
    assert_eq!(user[9], "on");

    shop.kubectl(&["scale", "goodgoservice", "iam-service", "--replicas=2"]).await?;
    shop.settled("iam-service", 2, &[]).await?;
    shop.ready("iam-service").await?;
    let table = shop.kubectl(&["get", "ggs", "iam-service"]).await?;
    assert_eq!(read(&table)?.1[0][3], "2/2", "{table}");
    // The scale subresource tells the same to whoever scales by it.
    let path = format!("/apis/goodgo.io/v1alpha1/namespaces/{}/goodgoservices/iam-service/scale", shop.name);
    let scale: Value = serde_json::from_str(&shop.kubectl(&["get", "--raw", &path]).await?)?;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(2), &json!(2)), "{scale}");
    let selector = scale["status"]["selector"].as_str().context("a selector")?;
    assert_eq!(shop.list("Pod", selector).await?.len(), 2, "{selector}");

    let told = shop.kubectl(&["describe", "goodgoservice", "user-service"]).await?;
    let events = told.split_once("Events:").map_or("", |(_, events)| events);
    assert!(events.contains("goodgo-operator"), "describe shows events that the operator wrote:\n{told}");
    Ok(())
}

/// Columns and rows of kubectl's table; empty cells are empty texts.
fn read(table: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    let head = table.lines().next().context("kubectl printed nothing")?;
    let columns: Vec<String> = head.split_whitespace().map(str::to_owned).collect();
    let mut starts = Vec::new();
    for column in &columns {
        let from = starts.last().map_or(0, |start: &usize| *start + 1);
        starts.push(head[from..].find(column.as_str()).context("a column")? + from);
    }
    let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
    let bounds: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
    let cells = |line: &str| -> Vec<String> {
        let cell = |(start, end): &(usize, usize)| {
            line.get(*start..(*end).min(line.len())).unwrap_or("").trim().to_owned()
        };
        bounds.iter().map(cell).collect()
    };
    Ok((columns, table.lines().skip(1).map(cells).collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_teaches_the_calls() -> Result<()> {
    let shop = Namespace::new("explain", 0).await?;
    let told = shop.kubectl(&["explain", "goodgoservice.spec.calls"]).await?;
    for field in ["service", "timeout", "retries", "circuitBreaker"] {
        let at = told.find(&format!("  {field}\t")).with_context(|| format!("the field {field}:\n{told}"))?;
        let description = told[at..].lines().nth(1).unwrap_or_default().trim();
        assert!(description.len() > 10, "{field} has a description: {description:?}");
    }
    assert!(!told.contains("<empty>"), "everything is described:\n{told}");
    let top = shop.kubectl(&["explain", "ggs"]).await?;
    assert!(top.contains("goodgo.io") && top.contains("v1alpha1"), "{top}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollout_restart_replaces_the_pods_and_its_annotation_is_left_alone() -> Result<()> {
    let shop = Namespace::new("restart", 2).await?;
    shop.service("web", json!({})).await?;
    shop.ready("web").await?;
    let old =
        shop.settled("web", 1, &[]).await?[0]["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    shop.kubectl(&["rollout", "restart", "deployment/web"]).await?;
    shop.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]).await?;
    shop.settled("web", 1, &[old]).await?;

    let annotation = "kubectl.kubernetes.io/restartedAt";
    let restarted = annotation_of(&shop, annotation).await?;
    assert!(restarted.is_string(), "{restarted}");
    // A change of the service itself comes after it and leaves it alone.
    shop.service("web", json!({"env": [{"name": "LOG", "value": "debug"}]})).await?;
    eventually("the change is applied", SOON, || async {
        let deployment = shop.get("Deployment", "web").await?;
        let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
        ensure!(env.contains("debug"), "{env}");
        Ok(())
    })
    .await?;
    assert_eq!(annotation_of(&shop, annotation).await?, restarted);
    shop.ready("web").await?;
    Ok(())
}

async fn annotation_of(shop: &Namespace, key: &str) -> Result<Value> {
    let deployment = shop.get("Deployment", "web").await?;
    Ok(deployment["spec"]["template"]["metadata"]["annotations"][key].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_service_is_left_as_it_is_until_it_is_resumed() -> Result<()> {
    let shop = Namespace::new("suspend", 2).await?;
    shop.service("web", json!({})).await?;
    shop.ready("web").await?;
    shop.edit("GoodGoService", "web", json!({"spec": {"suspend": true}})).await?;
    shop.until("web", "Suspended", "True", &[], SOON).await?;
    shop.delete("ConfigMap", "web--runtime").await?;
    shop.edit("GoodGoService", "web", json!({"spec": {"replicas": 2}})).await?;
    // Another service's whole life is time enough to show that nothing comes back.
    shop.service("witness", json!({})).await?;
    shop.ready("witness").await?;
    assert!(shop.find("ConfigMap", "web--runtime").await?.is_none(), "a suspended service was repaired");
    assert_eq!(shop.get("Deployment", "web").await?["spec"]["replicas"], 1);

    shop.edit("GoodGoService", "web", json!({"spec": {"suspend": false}})).await?;
    shop.settled("web", 2, &[]).await?;
    shop.ready("web").await?;
    shop.get("ConfigMap", "web--runtime").await?;
    Ok(())
}
