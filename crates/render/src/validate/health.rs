//! Probes: the platform's convention where the service is silent, in seconds where it speaks.

use super::seconds;
use super::violation::Report;
use goodgo_api::health::{Probe, ProbeVia};
use goodgo_api::{GoodGoServiceSpec, Protocol};

/// How the kubelet asks the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    pub(crate) live: ProbePlan,
    pub(crate) ready: ProbePlan,
    pub(crate) startup: Option<ProbePlan>,
    /// Whether the kubelet asks the runtime, and the runtime the app.
    pub(crate) via_runtime: bool,
}

/// One probe; times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbePlan {
    pub(crate) action: ProbeAction,
    pub(crate) initial_delay: Option<i32>,
    pub(crate) period: i32,
    pub(crate) timeout: i32,
    pub(crate) failure_threshold: i32,
    pub(crate) success_threshold: i32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeAction {
    Http {
        path: String,
        port: u16,
    },
    Grpc {
        service: Option<String>,
        port: u16,
    },
    Exec {
        command: Vec<String>,
    },
    /// Whether a connection can be made; what is left for an app whose protocol is nobody's business.
    Connect {
        port: u16,
    },
}

struct Convention {
    field: &'static str,
    path: &'static str,
    initial_delay: Option<i32>,
    period: i32,
    /// Kubernetes demands 1 of liveness and startup probes.
    successes_count: bool,
}

const LIVE: Convention = Convention {
    field: "live",
    path: "/health/live",
    initial_delay: Some(30),
    period: 10,
    successes_count: false,
};
const READY: Convention = Convention {
    field: "ready",
    path: "/health/ready",
    initial_delay: Some(5),
    period: 5,
    successes_count: true,
};
const STARTUP: Convention = Convention {
    field: "startup",
    path: "/health/live",
    initial_delay: None,
    period: 5,
    successes_count: false,
};

pub(super) fn parse(spec: &GoodGoServiceSpec, report: &mut Report) -> Probes {
    let health = spec.health.clone().unwrap_or_default();
    if health.via == ProbeVia::Runtime && !spec.runtime_enabled() {
        report.add("spec.health.via", "the runtime is off: write via: App, or switch the runtime on");
    }
    let via_runtime = health.via == ProbeVia::Runtime;
    for (field, probe) in [("live", &health.live), ("ready", &health.ready), ("startup", &health.startup)] {
        if via_runtime && probe.as_ref().is_some_and(|probe| probe.exec.is_some()) {
            report.add(
                &format!("spec.health.{field}.exec"),
                "the runtime can't run a command in the app's container: use path or grpc, or via: App",
            );
        }
    }
    let startup = health.startup.as_ref();
    Probes {
        live: probe(spec, &LIVE, health.live.as_ref(), report),
        ready: probe(spec, &READY, health.ready.as_ref(), report),
        startup: startup.map(|startup| probe(spec, &STARTUP, Some(startup), report)),
        via_runtime,
    }
}

fn probe(
    spec: &GoodGoServiceSpec,
    convention: &Convention,
    probe: Option<&Probe>,
    report: &mut Report,
) -> ProbePlan {
    let unset = Probe::default();
    let probe = probe.unwrap_or(&unset);
    let path = |field: &str| format!("spec.health.{}.{field}", convention.field);
    let mut time = |field: &str, value: Option<&goodgo_api::types::Duration>| {
        value.and_then(|value| seconds(&path(field), value, report))
    };
    let initial_delay = time("initialDelay", probe.initial_delay.as_ref());
    let period = time("period", probe.period.as_ref());
    let timeout = time("timeout", probe.timeout.as_ref());
    let success_threshold = probe.success_threshold.unwrap_or(1);
    if success_threshold != 1 && !convention.successes_count {
        report.add(&path("successThreshold"), "Kubernetes takes 1 only here: leave it out");
    }
    ProbePlan {
        action: action(spec, convention, probe),
        initial_delay: initial_delay.or(convention.initial_delay),
        period: period.unwrap_or(convention.period),
        timeout: timeout.unwrap_or(1),
        failure_threshold: probe.failure_threshold.unwrap_or(3),
        success_threshold,
    }
}

fn action(spec: &GoodGoServiceSpec, convention: &Convention, probe: &Probe) -> ProbeAction {
    let port = probe.port.unwrap_or(spec.port).0;
    if let Some(exec) = &probe.exec {
        return ProbeAction::Exec { command: exec.command.iter().map(|text| text.0.clone()).collect() };
    }
    if let Some(path) = &probe.path {
        return ProbeAction::Http { path: path.0.clone(), port };
    }
    if let Some(grpc) = &probe.grpc {
        return ProbeAction::Grpc { service: grpc.service.clone(), port };
    }
    match spec.protocol {
        Protocol::Http | Protocol::Graphql => ProbeAction::Http { path: convention.path.to_owned(), port },
        Protocol::Grpc => ProbeAction::Grpc { service: None, port },
        Protocol::Tcp => ProbeAction::Connect { port },
    }
}
