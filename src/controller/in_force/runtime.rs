//! The question to a runtime: which revision do you run?

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use goodgo_fleet::ServiceKey;
use goodgo_runtime_config::{ServiceRef, ports};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// A pod of this cluster answers in milliseconds or not at all.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);
/// Largest answer that is read, in bytes: it lists the calls.
const LARGEST: usize = 1 << 20;

/// Asks runtimes; nothing is kept between questions.
pub(super) struct Runtimes(Client<HttpConnector, Empty<Bytes>>);

impl Default for Runtimes {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
}

/// What a runtime says of its configuration (`/config` of the admin port).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    revision: Option<String>,
    service: Option<ServiceRef>,
    last_error: Option<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    message: String,
}

/// What a pod runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// The revision that was asked for.
    It,
    /// Another one, so far.
    Another,
    /// Another one, because this is not good to it.
    Refuses(String),
    /// Nobody knows: it did not answer, or somebody else has its address.
    Silent,
}

impl Runtimes {
    /// Asks the runtime at `ip` whether it runs `revision` of `service`.
    pub(super) async fn ask(&self, ip: IpAddr, service: &ServiceKey, revision: &str) -> Runs {
        let report = tokio::time::timeout(ANSWER, self.report(ip)).await;
        report.ok().flatten().map_or(Runs::Silent, |report| report.judge(service, revision))
    }

    async fn report(&self, ip: IpAddr) -> Option<Report> {
        let uri = format!("http://{}/config", SocketAddr::new(ip, ports::ADMIN)).parse().ok()?;
        let answer = self.0.get(uri).await.ok()?;
        let body = Limited::new(answer.into_body(), LARGEST).collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    }
}

impl Report {
    fn judge(self, service: &ServiceKey, revision: &str) -> Runs {
        let Self { revision: running, service: whose, last_error } = self;
        let other = |whose: ServiceRef| whose.name != service.name || whose.namespace != service.namespace;
        match (running, last_error) {
            _ if whose.is_some_and(other) => Runs::Silent,
            (Some(running), _) if running == revision => Runs::It,
            (_, Some(Refused { message })) => Runs::Refuses(message),
            (_, None) => Runs::Another,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_judged_by_its_revision_and_its_owner() {
        let judged = |report: serde_json::Value| {
            let report: Report = serde_json::from_value(report).unwrap();
            report.judge(&ServiceKey::new("shop", "a"), "2b")
        };
        let own = json!({"name": "a", "namespace": "shop"});
        let error = json!({"message": "failed to decode", "atUnixSeconds": 1});
        assert_eq!(judged(json!({"revision": "2b", "service": own, "calls": {}})), Runs::It);
        assert_eq!(judged(json!({"revision": "1a", "service": own})), Runs::Another);
        assert_eq!(judged(json!({"revision": null, "service": null, "lastError": null})), Runs::Another);
        let refused = Runs::Refuses("failed to decode".to_owned());
        assert_eq!(judged(json!({"revision": "1a", "service": own, "lastError": error})), refused);
        assert_eq!(judged(json!({"revision": "2b", "service": own, "lastError": error})), Runs::It);
        let neighbour = json!({"name": "b", "namespace": "shop"});
        assert_eq!(judged(json!({"revision": "2b", "service": neighbour})), Runs::Silent);
    }
}
