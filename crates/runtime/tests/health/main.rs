//! Checks of real dependencies: PostgreSQL and Redis as Debian packages them, private instances on loopback.

#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod database;
mod redis;
mod server;

use goodgo_runtime_config::{Check, KafkaCheck};
use serde_json::Value;
use support::{Running, config, nobody};

/// Time between checks in these tests.
const EVERY_MS: u64 = 100;

fn required() -> Option<Check> {
    Some(Check { required: true, every_ms: EVERY_MS })
}

/// A runtime with URLs in a folder, as a Secret is mounted.
struct Checked {
    running: Running,
    folder: tempfile::TempDir,
}

impl Checked {
    /// With `url` for the dependency `name`, which is required.
    async fn start(name: &str, url: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), url).unwrap();
        let mut line = vec!["--dependencies-dir", folder.path().to_str().unwrap()];
        line.extend(more);
        let running = Running::launch(nobody().await, &[], &line).await;
        let mut config = config([]);
        match name {
            "database" => config.health.database = required(),
            _ => config.health.redis = required(),
        }
        running.put(&config);
        running.started().await;
        Self { running, folder }
    }

    fn put(&self, name: &str, url: &str) {
        std::fs::write(self.folder.path().join(name), format!("{url}\n")).unwrap();
    }

    /// `/health/ready`, and that no secret is in it.
    async fn health(&self) -> (u16, Value) {
        let (status, body) = self.running.admin("/health/ready").await;
        assert!(!body.contains(server::PASSWORD) && !body.contains("wrong-secret"), "{body}");
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn ready(&self) {
        let what = || async { self.health().await.0 == 200 && self.running.admin("/ready").await.0 == 200 };
        self.running.eventually("ready", what).await;
    }

    async fn unready(&self, name: &str) -> Value {
        let what = || async { self.health().await.0 == 503 };
        self.running.eventually("unready", what).await;
        assert_eq!(self.running.admin("/ready").await.0, 503);
        let mut health = self.health().await.1;
        assert_eq!(health["ready"], false);
        health["checks"][name].take()
    }

    /// Waits for the check to say this in its error.
    async fn says(&self, name: &str, error: &str) {
        let what = || async {
            let health = self.health().await.1;
            health["checks"][name]["error"].as_str().is_some_and(|said| said.contains(error))
        };
        self.running.eventually(error, what).await;
    }

    async fn up(&self, name: &str) {
        let what = || async { self.health().await.1["checks"][name]["status"] == "up" };
        self.running.eventually("up", what).await;
    }
}

/// Answers which versions of Kafka's protocol it speaks: none at all.
async fn brokering(listener: tokio::net::TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut question = [0; 14];
        if stream.read_exact(&mut question).await.is_ok() {
            let answer = [&[0, 0, 0, 10], &question[8..12], &[0; 6]].concat();
            let _ = stream.write_all(&answer).await;
        }
    }
}

#[tokio::test]
async fn what_is_not_required_is_reported_and_never_gates() {
    let running = Running::launch(nobody().await, &[], &[]).await;
    let broker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = broker.local_addr().unwrap().to_string();
    let broker = tokio::spawn(brokering(broker));
    let mut kafka = KafkaCheck {
        required: false,
        every_ms: EVERY_MS,
        bootstrap: vec![nobody().await.to_string(), address],
    };
    let mut config = config([]);
    config.health.kafka = Some(kafka.clone());
    running.put(&config);
    running.started().await;
    let health = || async {
        serde_json::from_str::<Value>(&running.admin("/health/ready").await.1).unwrap()["checks"]["kafka"]
            .take()
    };
    running.eventually("one broker is enough", || async { health().await["status"] == "up" }).await;
    broker.abort();
    running.eventually("it fails", || async { health().await["failuresInARow"].as_u64() > Some(3) }).await;
    assert_eq!(running.admin("/health/ready").await.0, 200);
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains(r#"goodgo_runtime_check_up{check="kafka"} 0"#), "{metrics}");

    // Required now, while it runs; and then not checked any more.
    kafka.required = true;
    config.health.kafka = Some(kafka);
    config.revision = "b2".to_owned();
    running.put(&config);
    running.eventually("it gates", || async { running.admin("/ready").await.0 == 503 }).await;
    config.health.kafka = None;
    config.revision = "c3".to_owned();
    running.put(&config);
    running.eventually("it is forgotten", || async { running.admin("/ready").await.0 == 200 }).await;
    assert_eq!(health().await, Value::Null);
    running.stop().await;
}

#[tokio::test]
async fn live_tells_the_time() {
    let running = Running::start(nobody().await, &config([])).await;
    let live: Value = serde_json::from_str(&running.admin("/health/live").await.1).unwrap();
    assert_eq!(live["status"], "ok");
    let timestamp = live["timestamp"].as_str().unwrap();
    assert!(timestamp.parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
    running.stop().await;
}
