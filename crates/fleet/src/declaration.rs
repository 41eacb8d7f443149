//! What the others can see of one service: the projection of its spec that the graph is made of.

use crate::asks::{self, Asks};
use crate::claims::Claims;
use crate::consent::Access;
use crate::key::ServiceKey;
use crate::topics::{Publication, Subscription, publications, subscriptions};
use goodgo_api::types::ServiceName;
use goodgo_api::workload::PortProtocol;
use goodgo_api::{GoodGoService, Protocol};
use std::collections::{BTreeMap, BTreeSet};

/// One service as the graph knows it. A change of anything that is not in here (the image, say) concerns nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Callees by the call's name (`as`, or the callee's name).
    pub calls: BTreeMap<String, ServiceKey>,
    /// What the gateway asks others about its requests.
    pub asks: Asks,
    /// Who may call.
    pub access: Access,
    /// How the service is reached.
    pub endpoint: Endpoint,
    /// How it proves to its callees who it is.
    pub identity: Identity,
    /// Topics that it publishes to.
    pub publishes: BTreeMap<String, Publication>,
    /// Topics that it subscribes to.
    pub subscribes: BTreeMap<String, Subscription>,
    /// Whether it is reached from outside.
    pub gateway: bool,
    /// What it claims at the gateway.
    pub claims: Claims,
}

/// How a service proves to its callees who it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Name of its pods' ServiceAccount, the subject of its tokens.
    pub service_account: String,
    /// Whether it has a runtime, which sends a token with every call.
    pub proven: bool,
}

/// How a service is reached by its callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Port of its Service.
    pub service_port: u16,
    /// Port that its app listens on; callers connect to it when the runtime is off or the protocol is TCP.
    pub app_port: u16,
    /// What the app speaks.
    pub protocol: Protocol,
    /// Whether the communication runtime answers on the service's port. Never for TCP, which goes straight to the app.
    pub runtime: bool,
    /// Further ports, sorted by name.
    pub additional_ports: Vec<AdditionalPort>,
}

/// A further port of a service, the same in pod and Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdditionalPort {
    /// Its name.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// TCP or UDP.
    pub transport: PortProtocol,
}

impl Declaration {
    /// The projection of `service`. What is invalid in it takes no part: a call whose callee has no legal name, or one
    /// of two calls under one name, would otherwise be able to break services of other teams.
    #[must_use]
    pub fn from_service(service: &GoodGoService) -> Self {
        let spec = &service.spec;
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        Self {
            calls: calls(service, namespace),
            asks: asks::of(service),
            access: Access::from_spec(spec.access.as_ref(), namespace),
            endpoint: Endpoint::of(service),
            identity: Identity::of(service),
            publishes: publications(service),
            subscribes: subscriptions(service),
            gateway: spec.gateway.is_some(),
            claims: Claims::of(service),
        }
    }
}

impl Identity {
    fn of(service: &GoodGoService) -> Self {
        let named = service.spec.service_account_name.as_ref().map(|name| name.0.clone());
        let own = || own_service_account(service.metadata.name.as_deref().unwrap_or_default());
        Self { service_account: named.unwrap_or_else(own), proven: service.spec.runtime_enabled() }
    }
}

/// Name of the ServiceAccount that the service `name` gets when it names no existing one.
#[must_use]
pub fn own_service_account(name: &str) -> String {
    format!("{name}--app")
}

impl Endpoint {
    fn of(service: &GoodGoService) -> Self {
        let spec = &service.spec;
        let mut additional_ports: Vec<_> = spec
            .additional_ports
            .iter()
            .map(|port| AdditionalPort {
                name: port.name.0.clone(),
                port: port.port.0,
                transport: port.protocol,
            })
            .collect();
        additional_ports.sort();
        Self {
            service_port: spec.service_port.unwrap_or(spec.port).0,
            app_port: spec.port.0,
            protocol: spec.protocol,
            runtime: spec.runtime_enabled() && spec.protocol != Protocol::Tcp,
            additional_ports,
        }
    }
}

fn calls(service: &GoodGoService, namespace: &str) -> BTreeMap<String, ServiceKey> {
    let mut calls = BTreeMap::new();
    let mut ambiguous = BTreeSet::new();
    for call in &service.spec.calls {
        let callee_namespace = call.namespace.as_ref().map_or(namespace, |name| name.as_str());
        let callee = ServiceKey::new(callee_namespace, call.service.as_str());
        if !is_service_name(&call.service) {
            continue;
        }
        let name = call.name().0;
        if calls.insert(name.clone(), callee).is_some() {
            ambiguous.insert(name);
        }
    }
    calls.retain(|name, _| !ambiguous.contains(name));
    calls
}

/// The grammar of [`ServiceName`], for objects that were stored before the API server enforced it.
fn is_service_name(name: &ServiceName) -> bool {
    let text = name.as_str();
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 40
        && text.bytes().all(legal)
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
}
