//! The app's variables: where its calls lead, what it is called, and the user's own.

use super::Reach;
use crate::calls;
use crate::platform::PlatformConfig;
use crate::quantity::Quantity;
use crate::validate::ValidatedService;
use goodgo_api::calls::{ExternalCall, ExternalProtocol};
use goodgo_api::types::CallName;
use goodgo_api::workload as api;
use goodgo_fleet::{CallView, FleetView};
use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, ConfigMapKeySelector, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector,
    ResourceFieldSelector, SecretEnvSource, SecretKeySelector,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// All variables of the app: derived ones sorted by name, then the user's in their order. A list with one name twice is
/// refused by the API server, so of two the user's stays; validation has refused those where that would surprise.
pub(super) fn of_app(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
    reach: Reach,
) -> Vec<EnvVar> {
    let derived: Vec<_> = derived(service, fleet, platform, reach)
        .into_iter()
        .map(|(name, value)| EnvVar { name, value: Some(value), value_from: None })
        .collect();
    with(&derived, &service.spec().env)
}

/// `base` without what `own` sets, then `own`.
pub(super) fn with(base: &[EnvVar], own: &[api::EnvVar]) -> Vec<EnvVar> {
    let set: BTreeSet<_> = own.iter().map(|variable| variable.name.as_str()).collect();
    let base = base.iter().filter(|variable| !set.contains(variable.name.as_str())).cloned();
    base.chain(own.iter().map(variable)).collect()
}

fn derived(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
    reach: Reach,
) -> BTreeMap<String, String> {
    let spec = service.spec();
    let mut env = BTreeMap::from([
        ("PORT".to_owned(), spec.port.0.to_string()),
        ("SERVICE_NAME".to_owned(), service.name().to_owned()),
    ]);
    let listeners = calls::listeners(service, fleet);
    for call in &spec.calls {
        let name = call.name();
        let listener = listeners.get(name.as_str()).filter(|_| reach == Reach::Loopback);
        match (listener, fleet.calls.get(name.as_str())) {
            (Some(port), _) => {
                env.insert(format!("{}_URL", name.env_stem()), loopback(*port));
            }
            (None, Some(view)) => env.extend(direct(&name, view, platform)),
            (None, None) => {}
        }
    }
    for call in &spec.external_calls {
        match listeners.get(call.name.as_str()).filter(|_| reach == Reach::Loopback) {
            Some(port) => {
                env.insert(format!("{}_URL", call.name.env_stem()), loopback(*port));
            }
            None => env.extend(external(call)),
        }
    }
    env.extend(tracing(service, platform));
    env
}

fn loopback(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Address of a callee without a runtime between. A missing one keeps the address that it will most likely have, so
/// that the app starts; the status says what is missing.
fn direct(name: &CallName, view: &CallView, platform: &PlatformConfig) -> Vec<(String, String)> {
    let stem = name.env_stem();
    let host = platform.dns_name(&view.callee.name, &view.callee.namespace);
    // Without the final dot: as a Host header it surprises servers.
    let host = host.trim_end_matches('.');
    let tcp = view.endpoint().filter(|endpoint| endpoint.protocol == goodgo_api::Protocol::Tcp);
    match (tcp, view.endpoint()) {
        (Some(endpoint), _) => vec![
            (format!("{stem}_HOST"), host.to_owned()),
            (format!("{stem}_PORT"), endpoint.service_port.to_string()),
            (format!("{stem}_URL"), format!("tcp://{host}:{}", endpoint.service_port)),
        ],
        (None, endpoint) => {
            let port = endpoint.map_or(3000, |endpoint| endpoint.service_port);
            vec![(format!("{stem}_URL"), format!("http://{host}:{port}"))]
        }
    }
}

fn external(call: &ExternalCall) -> Vec<(String, String)> {
    let stem = call.name.env_stem();
    if call.protocol == ExternalProtocol::Tcp {
        let port = call.port.or_else(|| call.ports.iter().flatten().next().copied());
        let host = call.host.as_ref().map(|host| host.0.clone()).or_else(|| single_address(call));
        let host = host.map(|host| (format!("{stem}_HOST"), host));
        return host
            .into_iter()
            .chain(port.map(|port| (format!("{stem}_PORT"), port.0.to_string())))
            .collect();
    }
    let (scheme, convention) =
        if call.protocol == ExternalProtocol::Http { ("http", 80) } else { ("https", 443) };
    let host = call.host.as_ref().map(|host| host.as_str()).unwrap_or_default();
    let port = calls::external_port(call);
    let authority = if port == convention { host.to_owned() } else { format!("{host}:{port}") };
    vec![(format!("{stem}_URL"), format!("{scheme}://{authority}"))]
}

/// The address of a call whose ranges are one address.
fn single_address(call: &ExternalCall) -> Option<String> {
    let [cidr] = call.cidrs.as_deref()? else { return None };
    let (address, length) = cidr.as_str().split_once('/')?;
    let whole = match address.parse().ok()? {
        IpAddr::V4(_) => "32",
        IpAddr::V6(_) => "128",
    };
    (length == whole).then(|| address.to_owned())
}

/// What the app's own OpenTelemetry SDK reads.
fn tracing(service: &ValidatedService, platform: &PlatformConfig) -> Vec<(String, String)> {
    let Some(tracing) = &platform.tracing else { return Vec::new() };
    let mut attributes = vec![
        format!("deployment.environment.name={}", platform.environment.as_str()),
        format!("service.namespace={}", service.namespace()),
    ];
    if let Some(version) = crate::labels::version(service.spec().image.as_str()) {
        attributes.push(format!("service.version={version}"));
    }
    let mut env = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), tracing.otlp_endpoint.clone()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), tracing.protocol.clone()),
        ("OTEL_RESOURCE_ATTRIBUTES".to_owned(), attributes.join(",")),
        ("OTEL_SERVICE_NAME".to_owned(), service.name().to_owned()),
    ];
    let settings = service.spec().observability.as_ref().and_then(|all| all.tracing.as_ref());
    if let Some(ratio) = settings.and_then(|tracing| ratio(tracing.sampling.as_str())) {
        env.push(("OTEL_TRACES_SAMPLER".to_owned(), "parentbased_traceidratio".to_owned()));
        env.push(("OTEL_TRACES_SAMPLER_ARG".to_owned(), ratio));
    }
    env
}

/// `10%` as `0.10`.
fn ratio(percent: &str) -> Option<String> {
    let percent: u8 = percent.strip_suffix('%')?.parse().ok()?;
    Some(format!("{}.{:02}", percent / 100, percent % 100))
}

fn variable(variable: &api::EnvVar) -> EnvVar {
    EnvVar {
        name: variable.name.0.clone(),
        // An empty value is the same as none, and the server drops it.
        value: variable.value.as_ref().map(|value| literal(value.as_str())).filter(|value| !value.is_empty()),
        value_from: variable.value_from.as_ref().map(source),
    }
}

/// Kubernetes expands `$(NAME)`; values are taken literally, so the sign is doubled where it would mean something.
fn literal(value: &str) -> String {
    if value.contains("$(") || value.contains("$$") { value.replace('$', "$$") } else { value.to_owned() }
}

fn source(source: &api::EnvSource) -> EnvVarSource {
    let api::EnvSource { secret_key_ref, config_map_key_ref, field_ref, resource_field_ref } = source;
    EnvVarSource {
        secret_key_ref: secret_key_ref.as_ref().map(|key| SecretKeySelector {
            name: key.name.0.clone(),
            key: key.key.0.clone(),
            optional: key.optional,
        }),
        config_map_key_ref: config_map_key_ref.as_ref().map(|key| ConfigMapKeySelector {
            name: key.name.0.clone(),
            key: key.key.0.clone(),
            optional: key.optional,
        }),
        // Both are atomic: defaults that the server would add inside are set here.
        field_ref: field_ref.as_ref().map(|field| ObjectFieldSelector {
            api_version: Some("v1".to_owned()),
            field_path: field.field_path.clone(),
        }),
        resource_field_ref: resource_field_ref.as_ref().map(|resource| ResourceFieldSelector {
            container_name: None,
            resource: resource.resource.clone(),
            divisor: Some(
                resource.divisor.as_ref().and_then(|divisor| Quantity::parse(divisor.as_str())).map_or_else(
                    || k8s_openapi::apimachinery::pkg::api::resource::Quantity("0".to_owned()),
                    Quantity::to_api,
                ),
            ),
        }),
    }
}

/// ConfigMaps and Secrets taken whole.
pub(super) fn sources(sources: &[api::EnvFrom]) -> Vec<EnvFromSource> {
    let sources = sources.iter();
    sources
        .map(|source| EnvFromSource {
            prefix: source.prefix.as_ref().map(|prefix| prefix.0.clone()),
            config_map_ref: source
                .config_map_ref
                .as_ref()
                .map(|map| ConfigMapEnvSource { name: map.name.0.clone(), optional: map.optional }),
            secret_ref: source
                .secret_ref
                .as_ref()
                .map(|secret| SecretEnvSource { name: secret.name.0.clone(), optional: secret.optional }),
        })
        .collect()
}
