//! From the raw spec to a service that can be rendered: parsed once, so that nothing after it has to doubt a value.
//!
//! The API server has refused most of what is wrong already. This refuses what its rules can't see (the namespace, the
//! platform's configuration, what several fields together mean) and what was stored before a rule existed.

mod calls;
mod env;
mod gateway;
mod health;
mod resources;
mod runtime;
mod violation;
mod workload;

use crate::labels;
use crate::names::Names;
use crate::platform::PlatformConfig;
use goodgo_api::types::{CallName, Duration, ServiceName};
use goodgo_api::workload::Toleration;
use goodgo_api::{GoodGoService, GoodGoServiceSpec, Protocol};
use goodgo_fleet::ServiceKey;
pub(crate) use health::{ProbeAction, ProbePlan, Probes};
pub(crate) use resources::ResourcePlan;
use std::collections::BTreeSet;
use violation::Report;
pub use violation::Violation;

/// Seconds that a pod has to end, unless its service says otherwise.
const GRACE: i32 = 60;
/// Fewest seconds in which a pod can end without losing a request.
const LEAST_GRACE: i32 = 10;

/// A service whose every value is known to be good. Only [`ValidatedService::new`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedService {
    key: ServiceKey,
    uid: Option<String>,
    names: Names,
    spec: GoodGoServiceSpec,
    parsed: Parsed,
    track: &'static str,
}

/// What the spec's texts mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Time for a pod to end, in seconds.
    pub(crate) grace_seconds: i64,
    /// How the app is probed.
    pub(crate) probes: Probes,
    /// Resources of the app, with the requests that scaling needs.
    pub(crate) app: ResourcePlan,
    /// Resources of the runtime.
    pub(crate) runtime: ResourcePlan,
    /// Resources of the init containers, in their order.
    pub(crate) init: Vec<ResourcePlan>,
    /// Tolerations, each with its seconds.
    pub(crate) tolerations: Vec<(Toleration, Option<i64>)>,
    /// How long the need must be lower before pods are taken away, in seconds.
    pub(crate) scale_down_seconds: i32,
}

impl ValidatedService {
    /// Parses `service`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path and what to do.
    pub fn new(service: &GoodGoService, platform: &PlatformConfig) -> Result<Self, Vec<Violation>> {
        let mut report = Report::default();
        let spec = &service.spec;
        let name = ServiceName(service.metadata.name.clone().unwrap_or_default());
        let namespace = service.metadata.namespace.clone().unwrap_or_default();
        if !is_service_name(name.as_str()) {
            report.add("metadata.name", "use at most 40 lower case letters, digits and single hyphens, with a letter first and no hyphen last");
        }
        if namespace.is_empty() {
            report.add("metadata.namespace", "a GoodGoService lives in a namespace: name it");
        }
        let key = ServiceKey { namespace, name: name.0.clone() };
        calls::check(&key, spec, &mut report);
        env::check(spec, &mut report);
        gateway::check(&key, spec, platform, &mut report);
        workload::check(spec, &mut report);
        let parsed = Parsed {
            grace_seconds: grace_seconds(spec, &mut report),
            probes: health::parse(spec, &mut report),
            app: resources::app(spec, &mut report),
            runtime: resources::runtime(spec, &mut report),
            init: resources::init(spec, &mut report),
            tolerations: workload::tolerations(spec, &mut report),
            scale_down_seconds: workload::scale_down_seconds(spec, &mut report),
        };
        runtime::check(&key, spec, &parsed.probes, platform, &mut report);
        report.into_result()?;
        Ok(Self {
            names: Names::new(&key.namespace, &name),
            key,
            uid: service.metadata.uid.clone(),
            spec: spec.clone(),
            parsed,
            track: labels::STABLE,
        })
    }

    /// Namespace and name.
    #[must_use]
    pub const fn key(&self) -> &ServiceKey {
        &self.key
    }

    /// Name of the service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Its namespace, which all children share.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// The object's uid, for owner references; `None` for a manifest that was never applied.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// Names of the children.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The spec as written.
    #[must_use]
    pub const fn spec(&self) -> &GoodGoServiceSpec {
        &self.spec
    }

    /// What the spec's texts mean.
    pub(crate) const fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// Which version its pods are: [`labels::STABLE`], or [`labels::CANARY`] for what [`Self::canary`] made.
    pub(crate) const fn track(&self) -> &'static str {
        self.track
    }

    /// The canary: the same service with another image and as much of its pods as it gets of the requests, under names
    /// of its own. What the tracks share (identity, policy, configuration) is rendered for the service alone.
    pub(crate) fn canary(&self, platform: &PlatformConfig) -> Option<Self> {
        let canary = self.spec.canary.as_ref()?;
        let share = |pods: i32| {
            let share = (u64::from(pods.unsigned_abs()) * u64::from(canary.weight.0)).div_ceil(100);
            // One at least, but none where the service has none.
            i32::try_from(share).unwrap_or(i32::MAX).max(pods.min(1))
        };
        let mut copy = Self { track: labels::CANARY, ..self.clone() };
        copy.spec.image = canary.image.clone();
        match &mut copy.spec.scaling {
            Some(scaling) => {
                scaling.min = Some(share(platform.min_replicas(scaling)));
                scaling.max = share(scaling.max);
            }
            None => copy.spec.replicas = Some(share(platform.replicas(&self.spec))),
        }
        copy.names.gateway_service = self.names.canary.clone();
        copy.names.deployment = self.names.canary.clone();
        copy.names.horizontal_pod_autoscaler = self.names.canary_autoscaler.clone();
        Some(copy)
    }

    /// Whether the communication runtime answers on the service's port; never for TCP.
    #[must_use]
    pub fn runtime_on_port(&self) -> bool {
        self.spec.runtime_enabled() && self.spec.protocol != Protocol::Tcp
    }

    /// Whether the runtime runs beside the app: on its port, or, beside a TCP app, for its calls and probes.
    #[must_use]
    pub fn has_sidecar(&self) -> bool {
        let calls = !self.spec.calls.is_empty()
            || self
                .spec
                .external_calls
                .iter()
                .any(|call| call.protocol != goodgo_api::calls::ExternalProtocol::Tcp);
        let probes = self.parsed.probes.via_runtime;
        self.runtime_on_port() || (self.spec.runtime_enabled() && (calls || probes))
    }

    /// Port of the Service.
    #[must_use]
    pub fn service_port(&self) -> u16 {
        self.spec.service_port.unwrap_or(self.spec.port).0
    }
}

fn grace_seconds(spec: &GoodGoServiceSpec, report: &mut Report) -> i64 {
    const PATH: &str = "spec.terminationGracePeriod";
    let grace = spec.termination_grace_period.as_ref().and_then(|grace| seconds(PATH, grace, report));
    if grace.is_some_and(|grace| grace < LEAST_GRACE) {
        report.add(
            PATH,
            &format!(
                "a pod needs at least {LEAST_GRACE}s to finish its requests: write {LEAST_GRACE}s or more"
            ),
        );
    }
    i64::from(grace.unwrap_or(GRACE))
}

/// Whole seconds of `duration`; none, and a violation, when it can't be read.
fn seconds(path: &str, duration: &Duration, report: &mut Report) -> Option<i32> {
    let seconds = duration.to_seconds().ok();
    if seconds.is_none() {
        report.add(
            path,
            &format!("{:?} is no duration: write one number and one unit, such as 30s or 5m", duration.0),
        );
    }
    seconds
}

/// The variables' stems of all calls.
fn call_names(spec: &GoodGoServiceSpec) -> BTreeSet<CallName> {
    let calls = spec.calls.iter().map(goodgo_api::calls::Call::name);
    calls.chain(spec.external_calls.iter().map(|call| call.name.clone())).collect()
}

/// The grammar of a service's and a call's name.
fn is_service_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 40
        && text.bytes().all(legal)
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
}
