//! What is declared and not acted on, in words: each group of fields with the reason why.

use goodgo_render::{NotActive, Part};

use super::conditions::{NAMED, more};

/// One clause for each reason, in the order of the groups; empty when nothing is found.
pub(super) fn explained<'a>(found: impl IntoIterator<Item = &'a NotActive>) -> String {
    let mut clauses: Vec<(&str, Vec<&str>)> = Vec::new();
    for NotActive { part, field } in found {
        let why = why(*part);
        match clauses.iter_mut().find(|(before, _)| *before == why) {
            Some((_, fields)) => fields.push(field),
            None => clauses.push((why, vec![field])),
        }
    }
    let clauses = clauses.iter().map(|(why, fields)| {
        let named: Vec<&str> = fields.iter().take(NAMED).copied().collect();
        format!("{why}: {}{}", named.join(", "), more(fields.len()))
    });
    clauses.collect::<Vec<_>>().join("; ")
}

const fn why(part: Part) -> &'static str {
    match part {
        Part::Events | Part::Scaling => "accepted and not acted on by this version",
        Part::Gateway => "Traefik decides this by itself",
        Part::Dependencies => "not acted on because the platform has no Kafka",
        Part::Runtime => "needs the runtime, which does not stand before this app",
        Part::TcpCallee => "not acted on because the callee speaks TCP",
        Part::Collector => "not acted on because the platform has no collector of traces",
        Part::Monitor => {
            "relayed at port 14010, path /app/metrics, and this version tells no Prometheus to fetch it"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(part: Part, field: &str) -> NotActive {
        NotActive { part, field: field.to_owned() }
    }

    #[test]
    fn each_reason_is_said_once_with_its_fields() {
        let found = [
            found(Part::Scaling, "spec.scaling.consumerLag"),
            found(Part::Events, "spec.canary.events"),
            found(Part::Runtime, "spec.access.keys"),
            found(Part::Collector, "spec.observability.tracing"),
        ];
        let expected = "accepted and not acted on by this version: spec.scaling.consumerLag, spec.canary.events; \
                        needs the runtime, which does not stand before this app: spec.access.keys; \
                        not acted on because the platform has no collector of traces: spec.observability.tracing";
        assert_eq!(explained(&found), expected);
        assert_eq!(explained([]), "");
    }

    #[test]
    fn many_fields_are_counted() {
        let found: Vec<_> = (0..10).map(|n| found(Part::Runtime, &format!("f{n}"))).collect();
        assert!(explained(&found).ends_with("f7 and 2 more"), "{}", explained(&found));
    }
}
