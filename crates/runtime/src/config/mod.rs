//! The running configuration: what the file said last, and the routes derived from it.
//!
//! [`watch`] reads the file on its own thread; a good one is swapped in here as a whole, so a request sees either the
//! old or the new, and a bad one changes nothing but `/config` and the metrics. Callees whose target did not change keep
//! their connections.

pub(crate) mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use goodgo_runtime_config::{Call, RuntimeConfig, Unavailable};
use serde::Serialize;

use crate::discovery::Resolver;
use crate::identity::TokenSource;
use crate::inbound::Rules;
use crate::metrics::Metrics;
use crate::outbound::{Callee, Shared};
use crate::upstream::{Endpoints, Origin, Tls, Upstream};

/// One good configuration and what was derived from it. Immutable.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) config: RuntimeConfig,
    pub(crate) routes: BTreeMap<String, Route>,
    pub(crate) inbound: Rules,
    loaded_at: SystemTime,
}

/// Where a call goes.
#[derive(Debug)]
pub(crate) enum Route {
    To(Arc<Callee>),
    Unavailable(Unavailable),
}

/// The configuration that is in force, and the last one that was refused.
#[derive(Debug)]
pub(crate) struct Hot {
    current: ArcSwapOption<Snapshot>,
    refused: Mutex<Option<Refused>>,
    /// How many configurations have come into force.
    changes: tokio::sync::watch::Sender<u64>,
    tls: Tls,
    resolver: Resolver,
    outbound: Shared,
    metrics: Arc<Metrics>,
}

/// A configuration that was not taken.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    message: String,
    /// Seconds since 1970-01-01 UTC.
    at_unix_seconds: u64,
}

/// The body of `/config`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Revision in force; absent before the first good file.
    revision: Option<String>,
    service: Option<goodgo_runtime_config::ServiceRef>,
    /// When it came into force, in seconds since 1970-01-01 UTC.
    loaded_at_unix_seconds: Option<u64>,
    /// Names of the calls, each with where it goes or why not.
    calls: BTreeMap<String, String>,
    /// Why the file's current content is not in force; absent when it is.
    last_error: Option<Refused>,
}

impl Hot {
    pub(crate) fn new(tls: Tls, resolver: Resolver, tokens: Arc<TokenSource>, metrics: Arc<Metrics>) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            refused: Mutex::new(None),
            changes: tokio::sync::watch::Sender::new(0),
            tls,
            resolver,
            outbound: Shared::new(tokens, metrics.outbound().clone()),
            metrics,
        }
    }

    /// The configuration in force; none before the first good file.
    pub(crate) fn current(&self) -> arc_swap::Guard<Option<Arc<Snapshot>>> {
        self.current.load()
    }

    /// Resolves once there is one.
    pub(crate) async fn loaded(&self) {
        let _ = self.changes.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Changes whenever another configuration comes into force.
    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How to drain; the defaults before the first good file.
    pub(crate) fn drain(&self) -> goodgo_runtime_config::Drain {
        self.current().as_ref().map(|snapshot| snapshot.config.drain.clone()).unwrap_or_default()
    }

    /// Takes what was read: a good configuration comes into force, a bad one is remembered as the last error.
    pub(crate) fn offer(&self, read: Result<RuntimeConfig, String>) {
        match read {
            Ok(config) => self.accept(config),
            Err(message) => {
                tracing::error!(error = %message, "configuration refused; the previous one stays in force");
                self.metrics.config_refused();
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Refused { message, at_unix_seconds: unix_seconds(SystemTime::now()) });
            }
        }
    }

    fn accept(&self, config: RuntimeConfig) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let previous = self.current();
        if previous.as_ref().is_some_and(|snapshot| snapshot.config == config) {
            self.metrics.config_accepted(&config.revision);
            return;
        }
        let inbound = Rules::new(&config, previous.as_ref().map(|snapshot| &snapshot.inbound), &self.tls);
        let previous = previous.as_ref().map(|snapshot| &snapshot.routes);
        let routes = config
            .calls
            .iter()
            .filter_map(|(name, call)| {
                Some((name.clone(), self.route(name, call, previous.and_then(|r| r.get(name)))?))
            })
            .collect();
        tracing::info!(revision = %config.revision, calls = config.calls.len(), "configuration in force");
        self.metrics.config_accepted(&config.revision);
        self.metrics.configure(&config);
        self.current.store(Some(Arc::new(Snapshot {
            config,
            routes,
            inbound,
            loaded_at: SystemTime::now(),
        })));
        self.changes.send_modify(|count| *count += 1);
    }

    /// None only for a call that has neither target nor reason, which validation has ruled out.
    fn route(&self, name: &str, call: &Call, previous: Option<&Route>) -> Option<Route> {
        let Call { target, unavailable, policy } = call;
        if let Some(target) = target {
            let origin = Origin::Callee(target.clone());
            let previous = match previous {
                Some(Route::To(callee)) => Some(callee),
                Some(Route::Unavailable(_)) | None => None,
            };
            let upstream = match previous.map(|callee| callee.upstream()) {
                Some(upstream) if *upstream.origin() == origin => Arc::clone(upstream),
                _ => Arc::new(Upstream::new(origin, self.tls.clone(), self.resolver.clone())),
            };
            let previous = previous.map(|callee| &**callee);
            return Some(Route::To(Callee::new(name, policy, upstream, previous, &self.outbound)));
        }
        unavailable.clone().map(Route::Unavailable)
    }

    /// The endpoints of the calls that go anywhere, by the calls' names: the body of `/endpoints`.
    pub(crate) fn endpoints(&self) -> BTreeMap<String, Endpoints> {
        let current = self.current();
        let routes = current.as_ref().map(|snapshot| &snapshot.routes).into_iter().flatten();
        routes
            .filter_map(|(name, route)| match route {
                Route::To(callee) => Some((name.clone(), callee.upstream().view()?)),
                Route::Unavailable(_) => None,
            })
            .collect()
    }

    pub(crate) fn report(&self) -> Report {
        let current = self.current();
        let snapshot = current.as_ref();
        let calls = snapshot.map(|s| &s.routes).into_iter().flatten();
        Report {
            revision: snapshot.map(|s| s.config.revision.clone()),
            service: snapshot.map(|s| s.config.service.clone()),
            loaded_at_unix_seconds: snapshot.map(|s| unix_seconds(s.loaded_at)),
            calls: calls
                .map(|(name, route)| {
                    let to = match route {
                        Route::To(callee) => callee.upstream().origin().to_string(),
                        Route::Unavailable(why) => format!("{}: {}", why.reason, why.message),
                    };
                    (name.clone(), to)
                })
                .collect(),
            last_error: self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
