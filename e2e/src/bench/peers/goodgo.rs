//! `goodgo-runtime`, twice: the caller's, which makes calls to the origin itself and to the callee's runtime, and the
//! callee's, which asks for an identity and hands requests to the origin as its app.

use super::{Peer, free_ports, loopback};
use crate::bench::identity::{AUDIENCE, Identity, SUBJECT};
use crate::bench::process::Process;
use crate::bench::target::Target;
use crate::{http, paths};
use anyhow::{Context, Result};
use goodgo_runtime_config::{
    Authentication, Call, CallPolicy, Caller, CircuitBreaker, Drain, FILE_NAME, Health, Inbound,
    Observability, Protocol, Retries, RuntimeConfig, Scheme, ServiceRef, Target as Callee, TargetService,
    Tracing, Version,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The caller's calls: to the origin as it is, and through the callee's runtime.
pub(crate) const CALLS: [&str; 2] = ["callee", "origin"];
/// Part of the requests that are traced: the API's default.
const SAMPLING_PERCENT: u8 = 10;

/// Both runtimes.
#[derive(Debug)]
pub(crate) struct GoodGo {
    caller: Arc<Process>,
    callee: Arc<Process>,
    /// Their admin ports.
    admin: [SocketAddr; 2],
    to_origin: Target,
    to_callee: Target,
    service: Target,
}

impl GoodGo {
    /// Starts both. Without an identity the callee lets everybody in.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) fn start(
        folder: &Path,
        program: &Path,
        origin: SocketAddr,
        collector: SocketAddr,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let [service, gateway, callee_admin, callee_drain] = free_ports()?;
        let inbound = inbound(identity);
        let ports = [
            ("app-port", origin.port()),
            ("service-port", service),
            ("gateway-port", gateway),
            ("admin-port", callee_admin),
            ("drain-port", callee_drain),
        ];
        let mut callee = launch(
            folder,
            program,
            &config("callee", inbound, BTreeMap::new(), collector),
            flags(&ports, &[], None),
        )?;
        callee.listening(loopback(service))?;

        let [to_callee, to_origin, caller_admin, caller_drain] = free_ports()?;
        let calls = CALLS
            .into_iter()
            .zip([service, origin.port()])
            .map(|(name, port)| (name.to_owned(), call(port, identity.is_some())))
            .collect();
        let ports = [("admin-port", caller_admin), ("drain-port", caller_drain)];
        let calls_at: Vec<_> = CALLS.into_iter().zip([to_callee, to_origin]).collect();
        let tokens = identity.map(|identity| identity.folder.as_path());
        let mut caller = launch(
            folder,
            program,
            &config("caller", Inbound::default(), calls, collector),
            flags(&ports, &calls_at, tokens),
        )?;
        caller.listening(loopback(to_callee))?;

        let token = identity.map(|identity| Arc::clone(&identity.token));
        Ok(Self {
            caller: Arc::new(caller),
            callee: Arc::new(callee),
            admin: [loopback(caller_admin), loopback(callee_admin)],
            to_origin: Target::at(loopback(to_origin)),
            to_callee: Target::at(loopback(to_callee)),
            service: Target { token, ..Target::at(loopback(service)) },
        })
    }

    /// The three ways through them.
    pub(crate) fn peers(&self) -> [Peer; 3] {
        let peer = |name, target: &Target, processes: &[&Arc<Process>]| Peer {
            name,
            hops: if processes.len() == 1 { 1 } else { 2 },
            target: target.clone(),
            processes: processes.iter().map(|process| Arc::clone(process)).collect(),
        };
        [
            peer("goodgo inbound", &self.service, &[&self.callee]),
            peer("goodgo outbound", &self.to_origin, &[&self.caller]),
            peer("goodgo → goodgo", &self.to_callee, &[&self.caller, &self.callee]),
        ]
    }

    /// Scrapes both runtimes' metrics every second until aborted, as Prometheus would at its fastest; counts in `scrapes`.
    pub(crate) fn scrape(&self, scrapes: Arc<AtomicU64>) -> JoinHandle<()> {
        let admin = self.admin;
        tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                for address in admin {
                    let url = format!("http://{address}/metrics");
                    if let Ok((200, _)) = http::get(&url, Duration::from_secs(1)).await {
                        scrapes.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        })
    }
}

/// The caller alone is let in, or everybody.
fn inbound(identity: Option<&Identity>) -> Inbound {
    let authentication = match identity {
        Some(identity) => Authentication {
            required: true,
            audience: AUDIENCE.to_owned(),
            issuers: vec![identity.issuer.clone()],
            keys: false,
        },
        None => Authentication { required: false, ..Authentication::default() },
    };
    let callers = vec![Caller { name: "bench/caller".to_owned(), subject: SUBJECT.to_owned() }];
    Inbound { authentication, callers, ..Inbound::default() }
}

fn call(port: u16, identity: bool) -> Call {
    let target = Callee {
        scheme: Scheme::Http,
        host: "127.0.0.1".to_owned(),
        port,
        service: Some(TargetService { pods: None, identity }),
    };
    // What Envoy has beside it: retries with a budget and something that gives up on a sick callee.
    let policy = CallPolicy {
        retries: Some(Retries::default()),
        circuit_breaker: Some(CircuitBreaker::default()),
        ..CallPolicy::default()
    };
    Call { target: Some(target), ..Call::default() }.with(policy)
}

fn config(
    name: &str,
    inbound: Inbound,
    calls: BTreeMap<String, Call>,
    collector: SocketAddr,
) -> RuntimeConfig {
    let tracing = Tracing { endpoint: format!("http://{collector}"), sampling_percent: SAMPLING_PERCENT };
    RuntimeConfig {
        version: Version::V1Alpha1,
        revision: "be".to_owned(),
        service: ServiceRef { name: name.to_owned(), namespace: "bench".to_owned() },
        protocol: Protocol::Http,
        calls,
        inbound,
        health: Health::default(),
        observability: Observability { tracing: Some(tracing), app_metrics: None },
        drain: Drain::default(),
    }
}

fn flags(ports: &[(&str, u16)], calls: &[(&str, u16)], tokens: Option<&Path>) -> Vec<String> {
    let mut flags = vec!["--listen=127.0.0.1".to_owned(), "--worker-threads=1".to_owned()];
    flags.extend(ports.iter().map(|(flag, port)| format!("--{flag}={port}")));
    flags.extend(calls.iter().map(|(name, port)| format!("--call={name}={port}")));
    flags.extend(tokens.map(|folder| format!("--tokens-dir={}", folder.display())));
    flags
}

fn launch(folder: &Path, program: &Path, config: &RuntimeConfig, mut flags: Vec<String>) -> Result<Process> {
    let name = format!("goodgo-{}", config.service.name);
    // A folder each: the runtime watches the one that its file is in.
    let file = folder.join(&name).join(FILE_NAME);
    paths::write(&file, config.to_json().context("failed to make the runtime's configuration")?)?;
    flags.push(format!("--config={}", file.display()));
    Process::start(folder, &name, program, &flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_configurations_are_ones_that_a_runtime_reads() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::start(folder.path(), &CALLS, Duration::from_secs(60)).unwrap();
        let calls = CALLS.map(|name| (name.to_owned(), call(14_001, true)));
        for config in [
            config("callee", inbound(Some(&identity)), BTreeMap::new(), loopback(4317)),
            config("callee", inbound(None), BTreeMap::new(), loopback(4317)),
            config("caller", Inbound::default(), calls.into(), loopback(4317)),
        ] {
            let text = config.to_json().unwrap();
            assert_eq!(goodgo_runtime_config::parse(text.as_bytes()).unwrap(), config);
        }
        let key = &identity.issuer.keys[0];
        assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("EC"), Some("P-256")));
        assert!(!key.contains_key("d"), "the private key stays here");
    }
}
