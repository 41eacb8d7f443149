//! A second version and its share of the requests.

use super::load::meanwhile;
use super::site::{SOON, Site, route};
use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::tell;
use goodgo_e2e::scenario::{Namespace, condition, eventually};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests over which shares are counted.
const REQUESTS: usize = 10_000;

fn canary(image: &str, weight: u8) -> Value {
    json!({"spec": {"canary": {"image": image, "weight": weight,
        "match": {"header": {"name": "X-Canary", "value": "yes"}}}}})
}

fn of_canary(pods: &BTreeMap<String, usize>) -> usize {
    pods.iter().filter(|(pod, _)| pod.starts_with("web--canary-")).map(|(_, count)| count).sum()
}

/// Uids of all pods of both tracks.
async fn uids(site: &Site) -> Result<Vec<String>> {
    let pods = site.shop.list("Pod", "goodgo.io/service=web").await?;
    let mut uids: Vec<_> =
        pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect();
    uids.sort();
    Ok(uids)
}

/// Waits for the split that the status shows, and a little for the gateway to follow.
async fn shows(site: &Site, weight: u8, ready: u8) -> Result<()> {
    eventually(
        &format!("the canary shows {weight} % and {ready} ready"),
        Duration::from_secs(90),
        || async {
            let service = site.shop.get("GoodGoService", "web").await?;
            let shown = &service["status"]["canary"];
            ensure!(shown["weight"] == weight && shown["ready"] == ready, "{}", service["status"]);
            Ok(())
        },
    )
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Who answered so many requests on one connection.
async fn count(site: &Site, requests: usize, header: bool) -> Result<BTreeMap<String, usize>> {
    let mut sender = site.https.http2().await?;
    let mut pods = BTreeMap::new();
    for _ in 0..requests {
        let mut request = Request::get(format!("https://{}/whoami", site.host));
        if header {
            request = request.header("x-canary", "yes");
        }
        sender.ready().await?;
        let response = sender.send_request(request.body(Full::default())?).await?;
        let answer = goodgo_e2e::https::Answer::read(response).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let said: Value = serde_json::from_str(&answer.body)?;
        *pods.entry(said["pod"].as_str().context("a pod")?.to_owned()).or_default() += 1;
    }
    Ok(pods)
}

/// The whole life of a canary under load, and not one request of it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_gets_its_share_and_goes_without_a_failed_request() -> Result<()> {
    let site = Site::on(Namespace::alone("canary").await?).await?;
    let gateway = site.gateway(&json!([route("who", "/whoami", json!({}))]));
    site.shop.service("web", json!({"replicas": 2, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    site.answers("/whoami", 200).await?;
    let image = site.shop.platform.images.demo.clone();

    // One that can't start: the service does without it.
    site.shop.edit("GoodGoService", "web", canary("goodgo/nothing:1", 50)).await?;
    site.shop.until("web", "Progressing", "True", &["canary", "gets no requests"], SOON).await?;
    site.shop.until("web", "Ready", "True", &[], SOON).await?;
    shows(&site, 0, 0).await?;
    ensure!(of_canary(&count(&site, 200, false).await?) == 0, "a canary that isn't ready answered");
    ensure!(of_canary(&count(&site, 20, true).await?) == 0, "not to its header either");

    let come = async {
        site.shop.edit("GoodGoService", "web", canary(&image, 10)).await?;
        shows(&site, 10, 1).await
    };
    meanwhile("a canary comes", &site.https, come).await?;
    let before = eventually("the one that couldn't start is gone", SOON, || async {
        let uids = uids(&site).await?;
        ensure!(uids.len() == 3, "{} pods", uids.len());
        Ok(uids)
    })
    .await?;
    let pods = count(&site, REQUESTS, false).await?;
    let got = of_canary(&pods);
    tell(&format!("canary of 10 %: {got} of {REQUESTS} requests"));
    // Six standard deviations of a binomial distribution: sqrt(10,000 × 0.1 × 0.9) = 30.
    ensure!((820..=1180).contains(&got), "{pods:?}");
    ensure!(of_canary(&count(&site, 50, true).await?) == 50, "the header leads to the canary alone");

    let more = async {
        site.shop.edit("GoodGoService", "web", canary(&image, 40)).await?;
        shows(&site, 40, 1).await
    };
    meanwhile("its share grows", &site.https, more).await?;
    let got = of_canary(&count(&site, 1_000, false).await?);
    ensure!((300..=500).contains(&got), "{got} of 1,000");
    ensure!(uids(&site).await? == before, "another share restarts nothing");

    let gone = async {
        site.shop.edit("GoodGoService", "web", json!({"spec": {"canary": null}})).await?;
        eventually("the canary's pods are gone", Duration::from_secs(90), || async {
            let left = site.shop.list("Pod", "goodgo.io/service=web,goodgo.io/track=canary").await?;
            ensure!(left.is_empty(), "{} left", left.len());
            Ok(())
        })
        .await
    };
    meanwhile("a canary goes", &site.https, gone).await?;
    for (kind, name) in [("Deployment", "web--canary"), ("Service", "web--canary")] {
        ensure!(site.shop.find(kind, name).await?.is_none(), "{kind} {name} is left");
    }
    let left = site.shop.list("TraefikService", "goodgo.io/service=web").await?;
    ensure!(left.is_empty(), "{left:?}");
    let service = site.shop.ready("web").await?;
    ensure!(service["status"].get("canary").is_none() && condition(&service, "Progressing").is_none());
    Ok(())
}
