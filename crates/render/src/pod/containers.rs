//! The containers: the app, the runtime, and what runs before the app.

use super::{container, env, filled, filled_map, probes, runtime_volumes, security, volumes};
use crate::calls;
use crate::platform::PlatformConfig;
use crate::validate::{ResourcePlan, ValidatedService};
use goodgo_api::types::Text;
use goodgo_api::workload::{Migrate, PortProtocol, PullPolicy};
use goodgo_fleet::FleetView;
use goodgo_runtime_config::ports;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler,
    ResourceRequirements, SleepAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Name of the app's container.
pub(crate) const APP: &str = "app";
/// Name of the runtime's container.
const RUNTIME: &str = "goodgo-runtime";
/// Seconds until endpoints and proxies elsewhere know that a pod ends.
const SETTLE: i64 = 5;

/// The app.
pub(super) fn app(service: &ValidatedService, env: Vec<EnvVar>) -> Container {
    let spec = service.spec();
    let probes = &service.parsed().probes;
    Container {
        image_pull_policy: Some(pull_policy(spec.image_pull_policy)),
        command: texts(&spec.command),
        args: texts(&spec.args),
        env: filled(env),
        env_from: filled(env::sources(&spec.env_from)),
        ports: Some(app_ports(service)),
        resources: resources(&service.parsed().app),
        volume_mounts: filled(volumes::mounts(service)),
        liveness_probe: Some(probes::of_app(probes, "/app/live", &probes.live)),
        readiness_probe: Some(probes::of_app(probes, "/app/ready", &probes.ready)),
        startup_probe: probes.startup.as_ref().map(|plan| probes::of_app(probes, "/app/startup", plan)),
        lifecycle: Some(Lifecycle { pre_stop: Some(pre_stop(service)), ..Lifecycle::default() }),
        security_context: Some(security::app(service)),
        ..container(APP, spec.image.as_str())
    }
}

/// The runtime as a native sidecar: first to start, last to end. `None` with the runtime off.
pub(super) fn runtime(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Option<Container> {
    service.has_sidecar().then(|| Container {
        image_pull_policy: Some(pull_policy(PullPolicy::IfNotPresent)),
        args: Some(runtime_args(service, fleet)),
        ports: Some(runtime_ports(service)),
        resources: resources(&service.parsed().runtime),
        restart_policy: Some("Always".to_owned()),
        volume_mounts: filled(
            runtime_volumes::all(service, fleet, platform).into_iter().map(|(_, mount)| mount).collect(),
        ),
        startup_probe: Some(probes::of_runtime("/startup", 1, 60)),
        readiness_probe: Some(probes::of_runtime("/ready", 2, 1)),
        liveness_probe: Some(probes::of_runtime("/live", 10, 3)),
        security_context: Some(security::runtime()),
        ..container(RUNTIME, &platform.runtime_image)
    })
}

/// Containers that run to their end before the app starts, with the service's variables and files.
pub(super) fn init(service: &ValidatedService, service_env: &[EnvVar]) -> Vec<Container> {
    let spec = service.spec();
    let containers = spec.init_containers.iter().zip(&service.parsed().init);
    containers
        .map(|(init, plan)| Container {
            image_pull_policy: Some(pull_policy(spec.image_pull_policy)),
            command: texts(&init.command),
            args: texts(&init.args),
            env: filled(env::with(service_env, &init.env)),
            env_from: filled(env::sources(&spec.env_from)),
            resources: resources(plan),
            volume_mounts: filled(volumes::mounts(service)),
            security_context: Some(security::app(service)),
            ..container(init.name.as_str(), init.image.as_ref().unwrap_or(&spec.image).as_str())
        })
        .collect()
}

/// The migration, with the service's variables and files.
pub(super) fn migrate(service: &ValidatedService, migrate: &Migrate, env: Vec<EnvVar>) -> Container {
    let spec = service.spec();
    Container {
        image_pull_policy: Some(pull_policy(spec.image_pull_policy)),
        command: texts(&migrate.command),
        env: filled(env),
        env_from: filled(env::sources(&spec.env_from)),
        resources: resources(&service.parsed().app),
        volume_mounts: filled(volumes::mounts(service)),
        security_context: Some(security::app(service)),
        ..container("migrate", migrate.image.as_ref().unwrap_or(&spec.image).as_str())
    }
}

fn runtime_args(service: &ValidatedService, fleet: &FleetView) -> Vec<String> {
    let mut args = vec![
        "--config".to_owned(),
        format!("{}/{}", runtime_volumes::CONFIG_PATH, goodgo_runtime_config::FILE_NAME),
        "--grace-period".to_owned(),
        service.parsed().grace_seconds.to_string(),
    ];
    if service.runtime_on_port() {
        args.extend(["--service-port".to_owned(), ports::SERVICE.to_string()]);
        args.extend(["--app-port".to_owned(), service.spec().port.0.to_string()]);
    }
    for (name, port) in calls::listeners(service, fleet) {
        args.extend(["--call".to_owned(), format!("{name}={port}")]);
    }
    args
}

/// The app's ports. Its own is named `service` where the Service leads to it, `app` where it leads to the runtime.
fn app_ports(service: &ValidatedService) -> Vec<ContainerPort> {
    let spec = service.spec();
    let own = if service.runtime_on_port() { "app" } else { "service" };
    let mut ports = vec![port(own, spec.port.0, PortProtocol::Tcp)];
    let mut more: Vec<_> = spec
        .additional_ports
        .iter()
        .map(|more| port(more.name.as_str(), more.port.0, more.protocol))
        .collect();
    more.sort_by(|a, b| a.name.cmp(&b.name));
    ports.extend(more);
    ports
}

fn runtime_ports(service: &ValidatedService) -> Vec<ContainerPort> {
    let mut list = Vec::new();
    if service.runtime_on_port() {
        list.push(port("service", ports::SERVICE, PortProtocol::Tcp));
        list.push(port("gateway", ports::GATEWAY, PortProtocol::Tcp));
    }
    list.push(port("admin", ports::ADMIN, PortProtocol::Tcp));
    list.push(port("drain", ports::DRAIN, PortProtocol::Tcp));
    list
}

fn port(name: &str, number: u16, protocol: PortProtocol) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some(protocol_name(protocol).to_owned()),
        ..ContainerPort::default()
    }
}

pub(crate) const fn protocol_name(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Tcp => "TCP",
        PortProtocol::Udp => "UDP",
    }
}

/// What happens before the app gets SIGTERM.
///
/// With the runtime, it drains the pod and then answers; the kubelet waits for it as long as the grace period. The port
/// is a number because a hook can't name another container's. Without the runtime the pod waits until it has left the
/// endpoints; that closes no keep-alive connection, which only the runtime can.
fn pre_stop(service: &ValidatedService) -> LifecycleHandler {
    let spec = service.spec();
    if service.has_sidecar() {
        return http_hook("/drain", ports::DRAIN);
    }
    let hook = spec.pre_stop.as_ref();
    if let Some(http) = hook.and_then(|hook| hook.http.as_ref()) {
        return http_hook(http.path.as_str(), http.port.unwrap_or(spec.port).0);
    }
    if let Some(exec) = hook.and_then(|hook| hook.exec.as_ref()) {
        let exec = ExecAction { command: texts(&exec.command) };
        return LifecycleHandler { exec: Some(exec), ..LifecycleHandler::default() };
    }
    LifecycleHandler { sleep: Some(SleepAction { seconds: SETTLE }), ..LifecycleHandler::default() }
}

fn http_hook(path: &str, port: u16) -> LifecycleHandler {
    LifecycleHandler {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(port)),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        ..LifecycleHandler::default()
    }
}

fn resources(plan: &ResourcePlan) -> Option<ResourceRequirements> {
    let amounts = |amounts: &std::collections::BTreeMap<String, crate::quantity::Quantity>| {
        filled_map(amounts.iter().map(|(name, amount)| (name.clone(), amount.to_api())).collect())
    };
    let (requests, limits) = (amounts(&plan.requests), amounts(&plan.limits));
    (requests.is_some() || limits.is_some()).then(|| ResourceRequirements {
        requests,
        limits,
        ..ResourceRequirements::default()
    })
}

fn texts(texts: &[Text]) -> Option<Vec<String>> {
    filled(texts.iter().map(|text| text.0.clone()).collect())
}

fn pull_policy(policy: PullPolicy) -> String {
    match policy {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    }
    .to_owned()
}
