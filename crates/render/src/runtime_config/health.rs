//! What the runtime checks: the declared dependencies, and the app itself where the kubelet asks through the runtime.

use super::milliseconds;
use crate::platform::PlatformConfig;
use crate::validate::{ProbeAction, ProbePlan, Probes};
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::dependencies::Dependency;
use goodgo_runtime_config::{AppProbe, AppProbes, Check, Health, KafkaCheck, Milliseconds};

/// Time between checks of Kafka; the API has no field for it.
const KAFKA_EVERY: Milliseconds = 30_000;

pub(crate) fn health(spec: &GoodGoServiceSpec, probes: &Probes, platform: &PlatformConfig) -> Health {
    let dependencies = spec.dependencies.clone().unwrap_or_default();
    Health {
        database: dependencies.database.as_ref().map(check),
        redis: dependencies.redis.as_ref().map(check),
        kafka: dependencies.kafka.as_ref().zip(platform.kafka.as_ref()).map(|(dependency, kafka)| {
            KafkaCheck {
                required: dependency.required,
                every_ms: KAFKA_EVERY,
                bootstrap: kafka.bootstrap.clone(),
            }
        }),
        app: app(probes).filter(|_| probes.via_runtime),
    }
}

fn app(probes: &Probes) -> Option<AppProbes> {
    Some(AppProbes {
        live: probe(&probes.live)?,
        ready: probe(&probes.ready)?,
        startup: probes.startup.as_ref().and_then(probe),
    })
}

fn check(dependency: &Dependency) -> Check {
    Check { required: dependency.required, every_ms: milliseconds(&dependency.every) }
}

/// None for a command, which the runtime can't run in the app's container: validation has refused it.
fn probe(plan: &ProbePlan) -> Option<AppProbe> {
    let timeout_ms = u64::from(plan.timeout.unsigned_abs()) * 1_000;
    let asked = |port: u16| AppProbe { port, path: None, grpc: None, timeout_ms };
    Some(match &plan.action {
        ProbeAction::Http { path, port } => AppProbe { path: Some(path.clone()), ..asked(*port) },
        ProbeAction::Grpc { service, port } => {
            AppProbe { grpc: Some(service.clone().unwrap_or_default()), ..asked(*port) }
        }
        ProbeAction::Connect { port } => asked(*port),
        ProbeAction::Exec { command: _ } => return None,
    })
}
