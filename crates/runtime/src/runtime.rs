//! Puts the parts together: binds the listeners, gives each its stack, and ends when told to.
//!
//! Start: admin and drain first, so that a probe always gets an answer; then the first good configuration; then traffic.
//! End: a drain ([`crate::drain`]) takes the inbound listeners out of service while the process goes on; SIGTERM, which
//! the kubelet sends to a sidecar only after the app has ended, ends everything promptly. A pod that was drained and goes
//! on living ([`crate::survival`]) needs a runtime in service again: [`Ended::StartOver`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::Error;
use crate::admin::{self, Admin};
use crate::args::Args;
use crate::aside::Aside;
use crate::config::Hot;
use crate::config::watch::Watcher;
use crate::context::Registry;
use crate::discovery::Resolver;
use crate::drain::{Drain, Lifecycle};
use crate::health::Checks;
use crate::identity::Identity;
use crate::inbound;
use crate::metrics::{Leg, Metrics};
use crate::proxy;
use crate::server::{Bound, Bounds};
use crate::spans::Tracer;
use crate::survival;
use crate::upstream::{Origin, Tls, Upstream};

/// What requests in flight get at SIGTERM. Nothing is left to wait for after a drain; without one (outside Kubernetes)
/// this is all they get.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

/// What the last spans get on their way out.
const SPANS_LIMIT: Duration = Duration::from_secs(1);

/// A runtime whose listeners are bound.
#[derive(Debug)]
pub struct Runtime {
    addresses: Addresses,
    listeners: Listeners,
    state: Arc<Admin>,
    shared: Shared,
    /// The service and gateway listeners and what they have open.
    inbound: Lifecycle,
    /// The calls' listeners: they work until the process ends, as the app may call while it finishes.
    outbound: Lifecycle,
    /// The app's port and the pod's grace period, by which a drained pod is known to go on.
    app_port: Option<u16>,
    grace: Duration,
    /// Where the admin port is answered and dependencies are checked.
    aside: Aside,
    _watcher: Watcher,
}

/// What the stacks of several listeners are made of.
#[derive(Debug)]
struct Shared {
    tls: Tls,
    resolver: Resolver,
    identity: Identity,
    tracer: Arc<Tracer>,
    bounds: Bounds,
}

/// Why a runtime ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// The pod was drained and goes on living: another runtime must take its place.
    StartOver,
}

/// Where a runtime listens; differs from its arguments where those say port 0.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Traffic to the app from the cluster; none when the app speaks no HTTP.
    pub service: Option<SocketAddr>,
    /// Traffic to the app from the gateway; none when the app speaks no HTTP.
    pub gateway: Option<SocketAddr>,
    /// Probes, configuration, metrics.
    pub admin: SocketAddr,
    /// The preStop hook.
    pub drain: SocketAddr,
    /// Calls by name, in the order of the arguments.
    pub calls: Vec<(String, SocketAddr)>,
}

#[derive(Debug)]
struct Listeners {
    inbound: Option<Inbound>,
    calls: Vec<(String, Bound)>,
}

#[derive(Debug)]
struct Inbound {
    app_port: u16,
    service: Bound,
    gateway: Bound,
}

impl Runtime {
    /// Binds all listeners and starts to answer on admin and drain; traffic waits in the accept queues until
    /// [`Runtime::run`] has a configuration.
    ///
    /// # Errors
    /// [`Error::Bind`], [`Error::TrustAnchors`], [`Error::Tls`], [`Error::Resolver`], [`Error::Watch`],
    /// [`Error::Aside`].
    pub async fn bind(args: &Args) -> Result<Self, Error> {
        let tls = Tls::new(args.tls_ca_file.as_deref())?;
        let metrics = Metrics::new();
        let resolver = Resolver::new(args.dns_server, metrics.discovery().clone())?;
        let listen = |port| SocketAddr::new(args.listen, port);
        let admin = Bound::bind("admin", listen(args.admin_port)).await?;
        let drain = Bound::bind("drain", listen(args.drain_port)).await?;
        let inbound = match args.app_port {
            Some(app_port) => Some(Inbound {
                app_port,
                service: Bound::bind("service", listen(args.service_port)).await?,
                gateway: Bound::bind("gateway", listen(args.gateway_port)).await?,
            }),
            None => None,
        };
        let mut calls = Vec::with_capacity(args.calls.len());
        for call in &args.calls {
            // Loopback alone: who can reach it speaks with this service's identity.
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), call.port);
            calls.push((call.name.clone(), Bound::bind(&call.name, address).await?));
        }
        let addresses = Addresses {
            service: inbound.as_ref().map(|inbound| inbound.service.address),
            gateway: inbound.as_ref().map(|inbound| inbound.gateway.address),
            admin: admin.address,
            drain: drain.address,
            calls: calls.iter().map(|(name, bound)| (name.clone(), bound.address)).collect(),
        };

        let identity = Identity::start(
            &args.tokens_dir,
            args.calls.iter().map(|call| call.name.clone()),
            args.keys_dir.clone(),
        )?;
        let tokens = Arc::clone(&identity.tokens);
        let hot = Arc::new(Hot::new(tls.clone(), resolver.clone(), tokens, Arc::clone(&metrics)));
        let watcher = {
            let hot = Arc::clone(&hot);
            let interval = Duration::from_millis(args.config_interval.into());
            Watcher::start(args.config.clone(), interval, move |read| hot.offer(read))?
        };
        let lifecycle = Lifecycle::new();
        let tracer = Tracer::new(Arc::clone(&metrics), tls.clone());
        let checks = Checks::new(args.dependencies_dir.clone(), &tls, Arc::clone(&metrics));
        let state = Arc::new(Admin {
            hot,
            drain: Drain::new(lifecycle.clone()),
            metrics,
            checks,
            started: AtomicBool::new(false),
            traffic: Handle::current(),
        });
        let aside = Aside::start().map_err(Error::Aside)?;
        let router = admin::admin(Arc::clone(&state));
        aside.spawn(async move { serve_admin("admin", admin, router).await });
        // With what it ends: its tasks are of the same executor as theirs.
        let router = admin::drain(Arc::clone(&state));
        tokio::spawn(async move { serve_admin("drain", drain, router).await });
        Ok(Self {
            addresses,
            listeners: Listeners { inbound, calls },
            state,
            shared: Shared {
                tls,
                resolver,
                identity,
                tracer,
                bounds: Bounds {
                    head: Duration::from_secs(args.head_timeout.into()),
                    body: Duration::from_secs(args.body_timeout.into()),
                    connections: args.max_connections.get(),
                },
            },
            inbound: lifecycle,
            outbound: Lifecycle::new(),
            app_port: args.app_port,
            grace: Duration::from_secs(args.grace_period.into()),
            aside,
            _watcher: watcher,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves until SIGTERM or SIGINT, or until it has to start over.
    ///
    /// # Errors
    /// [`Error::Signals`] when they can't be listened for.
    pub async fn run_until_signal(self) -> Result<Ended, Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        let told = async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM"),
                _ = interrupt.recv() => tracing::info!("SIGINT"),
            }
        };
        Ok(self.run(told).await)
    }

    /// Serves until `told` resolves or a drained pod goes on living, then finishes promptly.
    pub async fn run(self, told: impl Future<Output = ()>) -> Ended {
        let Self {
            addresses: _,
            listeners,
            state,
            shared,
            inbound,
            outbound,
            app_port,
            grace,
            aside,
            _watcher,
        } = self;
        let serving = async {
            let mut changes = state.hot.changes();
            state.hot.loaded().await;
            follow(&state, &shared.tracer, &aside);
            start(listeners, &state, &shared, &inbound, &outbound);
            state.started.store(true, Ordering::Release);
            while changes.changed().await.is_ok() {
                follow(&state, &shared.tracer, &aside);
            }
        };
        let ended = tokio::select! {
            () = told => Ended::Told,
            () = survival::survived(&state.drain, &inbound, app_port, grace) => Ended::StartOver,
            () = serving => Ended::Told,
        };
        // Drained already: whatever is open has had its time.
        let limit = if state.drain.is_done() { Duration::ZERO } else { EXIT_LIMIT };
        let (inbound, outbound) = tokio::join!(inbound.finish(limit), outbound.finish(limit));
        state.checks.stop();
        shared.tracer.close(SPANS_LIMIT).await;
        tracing::info!(open = inbound + outbound, ?ended, "ended");
        ended
    }
}

/// Tells those parts that keep something running about the configuration in force.
fn follow(state: &Admin, tracer: &Tracer, aside: &Aside) {
    if let Some(snapshot) = state.hot.current().as_ref() {
        tracer.configure(&snapshot.config);
        let _checks_run_aside = aside.enter();
        state.checks.configure(&snapshot.config.health);
    }
}

/// Gives every listener its stack.
fn start(listeners: Listeners, state: &Admin, shared: &Shared, inbound: &Lifecycle, outbound: &Lifecycle) {
    let registry = Registry::new(!listeners.calls.is_empty());
    let with = |name: &str, leg: Leg| proxy::Outer {
        lifecycle: if matches!(leg, Leg::Call(_)) { outbound.clone() } else { inbound.clone() },
        metrics: state.metrics.listener(name, leg),
        tracer: Arc::clone(&shared.tracer),
        registry: Arc::clone(&registry),
    };
    let Listeners { inbound: to_app, calls } = listeners;
    let calls: Vec<_> = calls
        .into_iter()
        .map(|(name, bound)| {
            let outer = with(&name, Leg::Call(name.clone()));
            (name, bound, outer)
        })
        .collect();
    let Shared { tls, resolver, identity, tracer: _, bounds } = shared;
    if let Some(Inbound { app_port, service, gateway }) = to_app {
        let app = Arc::new(Upstream::new(Origin::App { port: app_port }, tls.clone(), resolver.clone()));
        let parts = inbound::Parts {
            hot: Arc::clone(&state.hot),
            keys: Arc::clone(&identity.keys),
            limiter: Arc::new(inbound::Limiter::new(Instant::now(), state.metrics.concurrency_limit())),
            asking: Arc::new(proxy::Asking::new(
                Arc::clone(&state.hot),
                Arc::clone(&shared.tracer),
                calls.iter().map(|(name, _, outer)| (name.clone(), Arc::clone(&outer.metrics))).collect(),
            )),
            stall_limit: bounds.body,
        };
        let outer = with("service", Leg::Service);
        let metrics = Arc::clone(&outer.metrics);
        service.serve(proxy::service(Arc::clone(&app), parts.clone(), outer), *bounds, inbound, metrics);
        let outer = with("gateway", Leg::Gateway);
        let metrics = Arc::clone(&outer.metrics);
        gateway.serve(proxy::gateway(app, parts, outer), *bounds, inbound, metrics);
    }
    for (name, bound, outer) in calls {
        let metrics = Arc::clone(&outer.metrics);
        let stack = proxy::call(&name, Arc::clone(&state.hot), outer);
        bound.serve(stack, *bounds, outbound, metrics);
    }
}

async fn serve_admin(name: &'static str, bound: Bound, router: Router) {
    tracing::info!(listener = name, address = %bound.address, "listening");
    let serving = async {
        // The executor that bound it may be another one, and would be the one that is waited for.
        let listener = TcpListener::from_std(bound.listener.into_std()?)?;
        axum::serve(listener, router).await
    };
    if let Err(error) = serving.await {
        tracing::error!(listener = name, %error, "listener ended");
    }
}
