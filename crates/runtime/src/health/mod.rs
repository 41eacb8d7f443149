//! What the service depends on, checked on its behalf, and the app's own probes.
//!
//! [`Checks`] keeps one task for each declared check. A required one that failed three times in a row makes the pod
//! unready, and the first success makes it ready again. Nothing here holds up the start.
//!
//! | room | what it asks |
//! | --- | --- |
//! | [`database`] | PostgreSQL, over one kept connection |
//! | [`redis`] | Redis, one server or a cluster |
//! | [`kafka`] | whether a broker can be reached |
//! | [`app`] | the app, on behalf of a kubelet that can't reach it |
//! | [`endpoints`] | what of this the admin port answers |

mod app;
mod check;
mod database;
pub(crate) mod endpoints;
mod kafka;
mod postgres_url;
mod redis;
mod relay;
mod state;
mod url;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use goodgo_runtime_config::{Check, Health, KafkaCheck};
use serde_json::{Map, Value};
use tokio::task::AbortHandle;

pub(crate) use self::app::tell;
use self::check::{Schedule, run};
use self::database::Database;
use self::kafka::Kafka;
use self::redis::Redis;
use self::state::State;
use self::url::UrlFile;
use crate::metrics::Metrics;
use crate::upstream::Tls;

/// All checks of the configuration in force.
#[derive(Debug)]
pub(crate) struct Checks {
    dependencies: PathBuf,
    tls: Tls,
    metrics: Arc<Metrics>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// What they were started from; only what changed is started again.
    health: Health,
    checks: Vec<Task>,
}

/// One running check.
#[derive(Debug)]
struct Task {
    name: &'static str,
    state: Arc<State>,
    handle: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Checks {
    /// `dependencies` is the folder with the URLs.
    pub(crate) fn new(dependencies: PathBuf, tls: &Tls, metrics: Arc<Metrics>) -> Self {
        Self { dependencies, tls: tls.clone(), metrics, running: Mutex::default() }
    }

    /// Starts, restarts and ends checks so that those of `health` run.
    pub(crate) fn configure(&self, health: &Health) {
        let Health { database, redis, kafka, app: _ } = health;
        let mut running = self.lock();
        if running.health.database != *database {
            self.end(&mut running, "database");
            if let Some(Check { required, every_ms }) = *database {
                let probe = Database::new(UrlFile::new(self.dependencies.join("database")), &self.tls);
                self.begin(&mut running, "database", required, every_ms, probe);
            }
        }
        if running.health.redis != *redis {
            self.end(&mut running, "redis");
            if let Some(Check { required, every_ms }) = *redis {
                let probe = Redis::new(UrlFile::new(self.dependencies.join("redis")), &self.tls);
                self.begin(&mut running, "redis", required, every_ms, probe);
            }
        }
        if running.health.kafka != *kafka {
            self.end(&mut running, "kafka");
            if let Some(KafkaCheck { required, every_ms, bootstrap }) = kafka {
                let probe = Kafka::new(bootstrap.clone(), &self.tls);
                self.begin(&mut running, "kafka", *required, *every_ms, probe);
            }
        }
        running.health = health.clone();
    }

    /// Ends all checks.
    pub(crate) fn stop(&self) {
        *self.lock() = Running::default();
    }

    /// Names of the required checks that have failed too often in a row.
    pub(crate) fn failing(&self) -> Vec<&'static str> {
        let running = self.lock();
        running.checks.iter().filter(|task| task.state.gates()).map(|task| task.name).collect()
    }

    /// The `checks` of `/health/ready`.
    pub(crate) fn report(&self) -> Map<String, Value> {
        let running = self.lock();
        running.checks.iter().map(|task| (task.name.to_owned(), task.state.report())).collect()
    }

    fn begin(
        &self,
        running: &mut Running,
        name: &'static str,
        required: bool,
        every_ms: u64,
        probe: impl check::Probe,
    ) {
        let state = Arc::new(State::new(required));
        let schedule = Schedule::new(Duration::from_millis(every_ms));
        let checking = run(name, probe, schedule, Arc::clone(&state), Arc::clone(&self.metrics));
        let handle = tokio::spawn(checking).abort_handle();
        running.checks.push(Task { name, state, handle });
    }

    fn end(&self, running: &mut Running, name: &'static str) {
        running.checks.retain(|task| task.name != name);
        self.metrics.check(name, None);
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
