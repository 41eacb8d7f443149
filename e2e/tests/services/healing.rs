//! Whoever deletes or edits a child, it comes back, and nothing else is touched.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::{Times, children, tell};
use goodgo_e2e::scenario::Namespace;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The product's own bar, printed beside what was measured.
const BAR: Duration = Duration::from_secs(1);
/// What no single repair may exceed even on a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

/// A service that has every kind of child but a migration and a certificate.
fn spec(shop: &Namespace) -> Value {
    let route = json!({"name": "all", "path": "/", "auth": {"none": {}}, "retries": {"attempts": 2}});
    json!({"scaling": {"min": 2, "max": 3, "cpuPercent": 500}, "labels": {"team": "shop"},
        "gateway": {"hosts": [format!("{}.goodgo.example", shop.name)], "tls": {"secret": "none"}, "routes": [route]},
        "canary": {"image": shop.platform.images.demo, "weight": 10}})
}

/// Kind, name after the service's, and an edit that changes what the operator set.
fn edits() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("ServiceAccount", "--app", json!({"metadata": {"labels": {"team": "other"}}})),
        ("Service", "", json!({"spec": {"selector": {"goodgo.io/service": "other"}}})),
        ("Service", "--headless", json!({"spec": {"selector": {"goodgo.io/track": "other"}}})),
        ("ConfigMap", "--runtime", json!({"data": {"runtime.json": "{}"}})),
        ("NetworkPolicy", "--policy", json!({"spec": {"ingress": [{}], "egress": [{}]}})),
        ("HorizontalPodAutoscaler", "--hpa", json!({"spec": {"maxReplicas": 9}})),
        ("PodDisruptionBudget", "--pdb", json!({"spec": {"unhealthyPodEvictionPolicy": "IfHealthyBudget"}})),
        ("Deployment", "", json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 2}}}})),
        ("Service", "--gateway", json!({"spec": {"selector": {"goodgo.io/track": "canary"}}})),
        ("Deployment", "--canary", json!({"spec": {"minReadySeconds": 9}})),
        ("Service", "--canary", json!({"spec": {"selector": {"goodgo.io/track": "stable"}}})),
        ("HorizontalPodAutoscaler", "--canary-hpa", json!({"spec": {"maxReplicas": 9}})),
        ("IngressRoute", "--routes", json!({"spec": {"entryPoints": ["web"]}})),
        ("IngressRoute", "--redirect", json!({"spec": {"routes": []}})),
    ]
}

/// The same of kinds whose names end in a hash: an edit that nobody would have rendered.
async fn hashed(shop: &Namespace) -> Result<Vec<(&'static str, String, Value)>> {
    let edits = [
        ("Middleware", json!({"spec": {"retry": {"attempts": 9}}})),
        ("ServersTransport", json!({"spec": {"forwardingTimeouts": {"dialTimeout": "9s"}}})),
        ("TraefikService", json!({"spec": {"weighted": {"services": []}}})),
    ];
    let mut found = Vec::new();
    for (kind, edit) in edits {
        let objects = shop.list(kind, "goodgo.io/service=web").await?;
        let names = objects.iter().filter_map(|object| object["metadata"]["name"].as_str());
        let wanted = |name: &&str| kind != "Middleware" || name.contains("retry");
        found.push((kind, names.into_iter().find(wanted).context(kind)?.to_owned(), edit));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_is_deleted_edited_or_unlabelled_comes_back_and_nothing_else_is_touched() -> Result<()> {
    let shop = Namespace::alone("healing").await?;
    shop.service("web", spec(&shop)).await?;
    shop.ready("web").await?;
    shop.settled("web", 2, &[]).await?;
    canary_serves(&shop).await?;

    let mut times = Times::default();
    let mut missed = Vec::new();
    let named = edits().into_iter().map(|(kind, suffix, edit)| (kind, format!("web{suffix}"), edit));
    for (kind, name, edit) in named.chain(hashed(&shop).await?) {
        let unlabel = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
        for (what, patch) in [("edit", Some(&edit)), ("unlabel", Some(&unlabel)), ("delete", None)] {
            let taken =
                repair(&shop, kind, &name, patch).await.with_context(|| format!("{what} {kind} {name}"))?;
            println!("{what:<8} {kind} {name}: back after {taken:.1?}");
            canary_serves(&shop).await?;
            times.add(taken);
            if taken > LIMIT {
                missed.push(format!("{what} {kind} {name}: {taken:.1?}"));
            }
        }
    }
    tell(&format!("repair: {times} (bar: p95 {BAR:?})"));
    assert_eq!(missed, Vec::<String>::new(), "repairs that took longer than {LIMIT:?}");
    shop.ready("web").await?;
    Ok(())
}

/// Until then its share is nothing, and the shares' object another one.
async fn canary_serves(shop: &Namespace) -> Result<()> {
    let ready = || async {
        let service = shop.get("GoodGoService", "web").await?;
        ensure!(service["status"]["canary"]["ready"] == 1, "{}", service["status"]);
        Ok(())
    };
    goodgo_e2e::scenario::eventually("the canary takes requests", Duration::from_secs(60), ready).await
}

/// Disturbs a child and waits until it is as it was; returns how long that took.
async fn repair(shop: &Namespace, kind: &str, name: &str, patch: Option<&Value>) -> Result<Duration> {
    let before = children(shop, "web").await?;
    let own = format!("{kind}/{name}");
    let was = before.get(&own).with_context(|| format!("{own} is not among {:?}", before.keys()))?.clone();
    match patch {
        Some(patch) => {
            let edited = shop.edit(kind, name, patch.clone()).await?;
            ensure!(essence(&edited) != essence(&was.object), "the edit changes nothing: {patch}");
        }
        None => shop.delete(kind, name).await?,
    }
    let began = Instant::now();
    let mut last = Value::Null;
    while began.elapsed() < LIMIT * 3 {
        if let Some(now) = shop.find(kind, name).await? {
            let same = now["metadata"]["uid"] == *was.uid;
            if same == patch.is_some() && essence(&now) == essence(&was.object) {
                let taken = began.elapsed();
                let mut after = children(shop, "web").await?;
                let mut before = before;
                for children in [&mut before, &mut after] {
                    // A canary without pods has no share.
                    let follows =
                        |child: &str| own == "Deployment/web--canary" && child.starts_with("TraefikService/");
                    children.retain(|child, _| *child != own && !follows(child));
                }
                assert_eq!(before, after, "the repair of {own} touched another child");
                return Ok(taken);
            }
            last = now;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("not as it was: {}\n{}", last, shop.state("web").await)
}

/// What the operator sets: spec, data, labels and owner, without what the server adds of its own.
fn essence(object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        // The autoscaler's; a new Deployment begins anew.
        spec.remove("replicas");
        // A new Service gets a new address.
        if spec.get("clusterIP").is_some_and(|address| address != "None") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
    }
    json!({"spec": spec, "data": object["data"], "labels": object["metadata"]["labels"],
        "owners": object["metadata"]["ownerReferences"]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_set_by_hand_is_put_back_without_losing_a_pod() -> Result<()> {
    let shop = Namespace::new("set-image", 3).await?;
    shop.service("web", json!({"replicas": 1})).await?;
    shop.ready("web").await?;
    let pods = shop.settled("web", 1, &[]).await?;
    let image = shop.platform.images.demo.clone();
    shop.kubectl(&["set", "image", "deployment/web", "app=nonsense:1"]).await?;
    goodgo_e2e::scenario::eventually("the image is back", LIMIT, || async {
        let now = shop.get("Deployment", "web").await?["spec"]["template"]["spec"]["containers"][0].clone();
        ensure!(now["image"] == *image, "{now}");
        Ok(())
    })
    .await?;
    let after = shop.settled("web", 1, &[]).await?;
    assert_eq!(after[0]["metadata"]["uid"], pods[0]["metadata"]["uid"], "the good pod stayed");
    shop.ready("web").await?;
    Ok(())
}
