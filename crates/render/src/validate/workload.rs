//! The workload group: ports, files, labels, rollout, scaling and placement.

use super::seconds;
use super::violation::Report;
use crate::labels::is_key;
use crate::quantity::Quantity;
use crate::service::port_name;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::workload::{PortProtocol, Toleration};
use goodgo_runtime_config::ports::is_reserved;
use std::collections::BTreeSet;

pub(super) fn check(spec: &GoodGoServiceSpec, report: &mut Report) {
    check_ports(spec, report);
    check_files(spec, report);
    check_keys(spec, report);
    check_rollout(spec, report);
    check_dependencies(spec, report);
}

fn check_ports(spec: &GoodGoServiceSpec, report: &mut Report) {
    const RESERVED: &str = "ports 14000 to 14999 are the runtime's own: choose another";
    let service_port = spec.service_port.unwrap_or(spec.port).0;
    if is_reserved(spec.port.0) {
        report.add("spec.port", RESERVED);
    }
    if spec.service_port.is_some_and(|port| is_reserved(port.0)) {
        report.add("spec.servicePort", RESERVED);
    }
    let mut taken = BTreeSet::from([(PortProtocol::Tcp, service_port), (PortProtocol::Tcp, spec.port.0)]);
    for (index, port) in spec.additional_ports.iter().enumerate() {
        let path = format!("spec.additionalPorts[{index}]");
        if is_reserved(port.port.0) {
            report.add(&format!("{path}.port"), RESERVED);
        }
        if !taken.insert((port.protocol, port.port.0)) {
            report.add(
                &format!("{path}.port"),
                "the port is taken by the app, the Service or another additional port: choose another",
            );
        }
        if matches!(port.name.as_str(), "app" | "service" | "gateway" | "admin" | "drain") {
            report.add(&format!("{path}.name"), "it is one of the platform's own port names: choose another");
        }
        if port.name.as_str() == port_name(spec.protocol) {
            report.add(&format!("{path}.name"), "it is the name of the service's own port: choose another");
        }
    }
}

fn check_files(spec: &GoodGoServiceSpec, report: &mut Report) {
    let mut paths = BTreeSet::new();
    for (index, file) in spec.files.iter().enumerate() {
        let path = format!("spec.files[{index}]");
        let mount = file.path.as_str().trim_end_matches('/');
        if !paths.insert(mount) {
            report.add(&format!("{path}.path"), "something is mounted there already: choose another path");
        }
        if mount == "/etc/goodgo" || mount.starts_with("/etc/goodgo/") {
            report.add(&format!("{path}.path"), "/etc/goodgo is the platform's own: choose another path");
        }
        let size = file.empty_dir.as_ref().and_then(|folder| folder.size_limit.as_ref());
        if size.is_some_and(|size| Quantity::parse(size.as_str()).is_none()) {
            report.add(&format!("{path}.emptyDir.sizeLimit"), "write a positive quantity, such as 128Mi");
        }
    }
}

fn check_keys(spec: &GoodGoServiceSpec, report: &mut Report) {
    let own = |key: &str| key.starts_with("goodgo.io/") || key.starts_with("app.kubernetes.io/");
    for (path, keys, guarded) in [
        ("spec.labels", spec.labels.keys().collect::<Vec<_>>(), true),
        ("spec.podLabels", spec.pod_labels.keys().collect(), true),
        ("spec.podAnnotations", spec.pod_annotations.keys().collect(), true),
        ("spec.nodeSelector", spec.node_selector.keys().collect(), false),
    ] {
        for key in keys {
            if !is_key(key) {
                report.add(&format!("{path}[{key}]"), "a key is a name of letters, digits, '-', '_' and '.', with a DNS prefix and '/' before it or without");
            }
            if guarded && own(key) {
                report.add(
                    &format!("{path}[{key}]"),
                    "keys goodgo.io/… and app.kubernetes.io/… are the operator's own: choose another",
                );
            }
        }
    }
}

fn check_rollout(spec: &GoodGoServiceSpec, report: &mut Report) {
    let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    if let Some(rolling) = rolling {
        let surge = rolling.max_surge.as_ref().is_some_and(|surge| surge.is_zero());
        let unavailable = rolling.max_unavailable.as_ref().is_none_or(|unavailable| unavailable.is_zero());
        if surge && unavailable {
            report.add(
                "spec.strategy.rollingUpdate",
                "no pod could be replaced: set maxSurge or maxUnavailable above 0",
            );
        }
    }
    if spec.replicas.is_some() && spec.scaling.is_some() {
        report.add("spec.replicas", "set replicas or scaling, not both");
    }
    if let Some(scaling) = &spec.scaling
        && scaling.min.is_some_and(|min| min > scaling.max)
    {
        report.add("spec.scaling.min", "min must not be greater than max");
    }
    let exec = spec.pre_stop.as_ref().is_some_and(|hook| hook.exec.is_some());
    if exec && spec.runtime_enabled() {
        report.add(
            "spec.preStop.exec",
            "it works with the runtime off only: use preStop.http, or set runtime.enabled: false",
        );
    }
    let mut places = BTreeSet::new();
    for (index, spread) in spec.topology_spread.iter().flatten().enumerate() {
        if !places.insert((spread.topology_key.as_str(), format!("{:?}", spread.when_unsatisfiable))) {
            report.add(
                &format!("spec.topologySpread[{index}].topologyKey"),
                "the same key and whenUnsatisfiable stand before: join the two",
            );
        }
    }
}

fn check_dependencies(spec: &GoodGoServiceSpec, report: &mut Report) {
    let Some(dependencies) = &spec.dependencies else { return };
    for (name, dependency) in [("database", &dependencies.database), ("redis", &dependencies.redis)] {
        for (index, target) in dependency.iter().flat_map(|dependency| &dependency.to).enumerate() {
            let path = format!("spec.dependencies.{name}.to[{index}]");
            for (position, cidr) in target.cidrs.iter().flatten().enumerate() {
                if !crate::platform::is_cidr(cidr.as_str()) {
                    report.add(
                        &format!("{path}.cidrs[{position}]"),
                        "write an address range in CIDR notation, such as 10.1.2.0/24",
                    );
                }
            }
        }
    }
}

pub(super) fn tolerations(spec: &GoodGoServiceSpec, report: &mut Report) -> Vec<(Toleration, Option<i64>)> {
    let tolerations = spec.tolerations.iter().enumerate();
    tolerations
        .map(|(index, toleration)| {
            let path = format!("spec.tolerations[{index}].seconds");
            let time =
                toleration.seconds.as_ref().and_then(|time| seconds(&path, time, report)).map(i64::from);
            (toleration.clone(), time)
        })
        .collect()
}

pub(super) fn scale_down_seconds(spec: &GoodGoServiceSpec, report: &mut Report) -> i32 {
    const PATH: &str = "spec.scaling.scaleDownAfter";
    let Some(scaling) = &spec.scaling else { return 0 };
    let seconds = seconds(PATH, &scaling.scale_down_after, report).unwrap_or_default();
    if seconds > 3600 {
        report.add(PATH, "Kubernetes looks back one hour at most: write 1h or less");
    }
    seconds
}
