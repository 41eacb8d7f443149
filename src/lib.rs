//! The operator: the only code that talks to the Kubernetes API.
//!
//! [`run`] puts it together: an admin server apart from all work, a lease that one process holds, and, while it is held,
//! the watches ([`controller::watch`]) that feed the driver ([`controller`]). What a service should own is decided by the
//! pure crates `goodgo-fleet` and `goodgo-render`.

pub mod admin;
pub mod args;
pub mod config;
pub mod controller;
pub mod error;
pub mod identity;
pub mod leader;
pub mod metrics;
pub mod rbac;
pub mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use goodgo_render::PlatformConfig;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use self::admin::Readiness;
use self::args::RunArgs;
use self::controller::Context;
use self::identity::Issuers;
use self::leader::Leader;
use self::metrics::Metrics;

/// A graceful end takes no longer: what is under way is a few requests.
const SHUTDOWN: Duration = Duration::from_secs(15);

/// Runs until a signal ends it (well) or the lease is lost (an error, so that the process starts anew as a standby).
///
/// # Errors
/// When the configuration can't be used, the cluster can't be reached at all, or the lease is lost.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let platform = match &args.config {
        Some(path) => config::load(path)?,
        None => PlatformConfig::default(),
    };
    let (metrics, readiness, stop) = (Metrics::default(), Readiness::default(), stop_on_signal()?);
    let listener = TcpListener::bind(args.admin_address).await.context("failed to bind the admin address")?;
    tokio::spawn(admin::serve(listener, readiness.clone(), metrics.clone(), stop.clone().cancelled_owned()));
    let client = Client::try_from(Config::infer().await.context("failed to find a cluster")?)?;

    // A standby is ready: it could take over at any moment.
    readiness.set(true);
    let mut leader = Leader::new(client.clone(), &args.namespace, &args.lease, &args.identity);
    if stop.run_until_cancelled(leader.acquire()).await.is_none() {
        return Ok(());
    }
    readiness.set(false);
    metrics.leading(true);
    let (platform, issuers) = (Arc::new(ArcSwap::from_pointee(platform)), Issuers::default());
    let work = Work { args, client, platform, issuers, metrics, readiness };
    tokio::select! {
        () = work.run(&stop) => {}
        // Dropping the work ends every request at once: whoever takes the lease must not meet us.
        () = leader.keep() => anyhow::bail!("failed to keep the lease"),
    }
    leader.release().await;
    Ok(())
}

/// What a leader does.
struct Work {
    args: RunArgs,
    client: Client,
    platform: Arc<ArcSwap<PlatformConfig>>,
    issuers: Issuers,
    metrics: Metrics,
    readiness: Readiness,
}

impl Work {
    /// Reconciles until `stop`; starts over with empty caches when the watched namespaces change.
    async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.reconcile_scope(stop.child_token()).await;
        }
        self.readiness.set(false);
    }

    async fn reconcile_scope(&self, scope: CancellationToken) {
        let mut follower = self
            .args
            .config
            .clone()
            .map(|path| config::Follower::new(path, self.platform.clone(), self.metrics.clone()));
        // A standby may have waited for days: the file is looked at again before anything is decided by it.
        if let Some(follower) = &mut follower {
            follower.compare();
        }
        let (store, writer) = reflector::store();
        let (queue, queued) = futures::channel::mpsc::unbounded();
        let reporter =
            Reporter { controller: "goodgo-operator".to_owned(), instance: Some(self.args.identity.clone()) };
        let context = Arc::new(Context::new(
            self.client.clone(),
            store.clone(),
            self.platform.clone(),
            self.issuers.clone(),
            self.metrics.clone(),
            Recorder::new(self.client.clone(), reporter),
            queue,
        ));
        let _follow = follower.map(|follower| self.follow_config(follower, &context, &scope));
        let _identity = self.follow_identity(&context);
        let watches = controller::watch::start(&self.client, writer, &context);
        let Some(_watches) = scope.run_until_cancelled(watches).await else { return };
        info!(services = store.len(), children = context.children.len(), "the caches are filled");
        // Without keys every runtime would be told to let nobody in.
        if scope.run_until_cancelled(self.issuers.known()).await.is_none() {
            return;
        }
        self.readiness.set(true);
        let work = controller::run(store, queued, context, scope.clone().cancelled_owned());
        let overdue = async {
            scope.cancelled().await;
            tokio::time::sleep(SHUTDOWN).await;
        };
        tokio::select! {
            () = work => {}
            () = overdue => warn!("what was under way did not end in time and is dropped"),
        }
    }

    /// Queues every service when the issuers of identities change.
    fn follow_identity(&self, context: &Arc<Context>) -> AbortOnDropHandle<()> {
        let follower = identity::Follower::new(
            self.client.clone(),
            self.platform.clone(),
            identity::OWN_TOKEN.into(),
            self.issuers.clone(),
            self.metrics.clone(),
        );
        let context = context.clone();
        AbortOnDropHandle::new(tokio::spawn(follower.follow(move || context.queue_all())))
    }

    /// Queues every service when the configuration changes, or ends the scope when it watches other namespaces now.
    fn follow_config(
        &self,
        follower: config::Follower,
        context: &Arc<Context>,
        scope: &CancellationToken,
    ) -> AbortOnDropHandle<()> {
        let (context, scope, platform) = (context.clone(), scope.clone(), self.platform.clone());
        let changed = move |before: &PlatformConfig| {
            if before.watch_namespaces == platform.load().watch_namespaces {
                context.queue_all();
            } else {
                info!("other namespaces are to be watched: starting over");
                scope.cancel();
            }
        };
        AbortOnDropHandle::new(tokio::spawn(follower.follow(changed)))
    }
}

/// Cancelled by SIGTERM (the kubelet) or SIGINT (a person).
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        info!("asked to end");
        cancel.cancel();
    });
    Ok(stop)
}
