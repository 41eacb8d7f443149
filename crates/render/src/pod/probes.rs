//! Probes as Kubernetes takes them, every default written out.

use crate::validate::{ProbeAction, ProbePlan, Probes};
use goodgo_runtime_config::ports;
use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A probe of the app: asked itself, or by the runtime, which answers at `path` of its admin port.
pub(super) fn of_app(probes: &Probes, path: &str, plan: &ProbePlan) -> Probe {
    if !probes.via_runtime {
        return probe(plan);
    }
    let action = ProbeAction::Http { path: path.to_owned(), port: ports::ADMIN };
    // The runtime gives the app its whole time, and then has to tell.
    probe(&ProbePlan { action, timeout: plan.timeout.saturating_add(1), ..plan.clone() })
}

fn probe(plan: &ProbePlan) -> Probe {
    let timing = Probe {
        initial_delay_seconds: plan.initial_delay,
        period_seconds: Some(plan.period),
        timeout_seconds: Some(plan.timeout),
        failure_threshold: Some(plan.failure_threshold),
        success_threshold: Some(plan.success_threshold),
        ..Probe::default()
    };
    match &plan.action {
        ProbeAction::Http { path, port } => Probe { http_get: Some(get(path, *port)), ..timing },
        ProbeAction::Grpc { service, port } => {
            Probe { grpc: Some(GRPCAction { port: i32::from(*port), service: service.clone() }), ..timing }
        }
        ProbeAction::Exec { command } => {
            Probe { exec: Some(ExecAction { command: Some(command.clone()) }), ..timing }
        }
        ProbeAction::Connect { port } => Probe {
            tcp_socket: Some(TCPSocketAction { port: number(*port), ..TCPSocketAction::default() }),
            ..timing
        },
    }
}

/// A probe of the runtime at its admin port: `path`, every `period` seconds, counted after `failures` in a row.
pub(super) fn of_runtime(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(get(path, ports::ADMIN)),
        period_seconds: Some(period),
        timeout_seconds: Some(1),
        failure_threshold: Some(failures),
        success_threshold: Some(1),
        ..Probe::default()
    }
}

fn get(path: &str, port: u16) -> HTTPGetAction {
    HTTPGetAction {
        path: Some(path.to_owned()),
        port: number(port),
        scheme: Some("HTTP".to_owned()),
        ..HTTPGetAction::default()
    }
}

fn number(port: u16) -> IntOrString {
    IntOrString::Int(i32::from(port))
}
