//! Bounds of checks and probes.

use super::{Report, is_authority};
use crate::model::{AppProbe, AppProbes, Check, Health, KafkaCheck};

pub(super) fn check(health: &Health, report: &mut Report) {
    let Health { database, redis, kafka, app } = health;
    for (name, check) in [("database", database), ("redis", redis)] {
        if let Some(Check { required: _, every_ms }) = check {
            report.time(&format!("health.{name}.everyMs"), *every_ms);
        }
    }
    if let Some(KafkaCheck { required: _, every_ms, bootstrap }) = kafka {
        report.time("health.kafka.everyMs", *every_ms);
        if bootstrap.is_empty()
            || !bootstrap.iter().all(|broker| broker.contains(':') && is_authority(broker))
        {
            report.add("health.kafka.bootstrap", "must be one or more host:port");
        }
    }
    if let Some(AppProbes { live, ready, startup }) = app {
        for (name, probe) in [("live", Some(live)), ("ready", Some(ready)), ("startup", startup.as_ref())] {
            if let Some(probe) = probe {
                check_probe(&format!("health.app.{name}"), probe, report);
            }
        }
    }
}

fn check_probe(path: &str, probe: &AppProbe, report: &mut Report) {
    let AppProbe { port, path: asked, grpc, timeout_ms } = probe;
    report.port(&format!("{path}.port"), *port);
    report.time(&format!("{path}.timeoutMs"), *timeout_ms);
    if let Some(asked) = asked {
        report.path(&format!("{path}.path"), asked);
    }
    if asked.is_some() && grpc.is_some() {
        report.add(path, "set at most one of path and grpc");
    }
}
