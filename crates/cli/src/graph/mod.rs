//! `goodgoctl graph`: who calls whom, who tells whom what, and what comes in and goes out.

mod dot;
mod mermaid;
mod why;

use std::io::Write;

use anyhow::Result;
use goodgo_fleet::ServiceKey;
use serde::Serialize;

use crate::Outcome;
use crate::args::{self, Drawing};
use crate::findings::Finding;
use crate::fleet::{self, Service};
use crate::validate::Admission;
use crate::{manifests, platform};

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Node {
    /// `kind:name`, unique.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) label: String,
}

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Gateway,
    Service,
    /// Called and not there.
    Missing,
    Topic,
    /// A host outside of the platform.
    External,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    /// What goes along it: `calls`, `publishes`, `delivers`, `routes`, `asks`.
    pub(crate) what: &'static str,
    /// Why it does not work; nothing when it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

pub(crate) fn run(arguments: &args::Graph) -> Result<Outcome> {
    let platform = platform::read(arguments.source.platform.as_deref())?;
    let (services, findings) = Admission::new()?.services(manifests::read(&arguments.source)?, &platform);
    if let Some([from, to]) = arguments.why.as_deref() {
        let said = why::may_reach(&fleet::named(from, &services)?, &fleet::named(to, &services)?, &services);
        writeln!(std::io::stdout(), "{}", said.sentence)?;
        return Ok(if said.may { Outcome::Fine } else { Outcome::Findings });
    }
    tell(&findings)?;
    let graph = Graph::of(&services);
    let text = match arguments.output {
        Drawing::Mermaid => mermaid::draw(&graph),
        Drawing::Dot => dot::draw(&graph),
        Drawing::Json => serde_json::to_string_pretty(&graph)? + "\n",
        Drawing::Yaml => serde_saphyr::to_string(&graph)?,
    };
    write!(std::io::stdout(), "{text}")?;
    Ok(if findings.is_empty() { Outcome::Fine } else { Outcome::Findings })
}

/// What can't be drawn is said beside the drawing.
fn tell(findings: &[Finding]) -> Result<()> {
    let mut errors = std::io::stderr().lock();
    for finding in findings {
        writeln!(errors, "{finding}")?;
    }
    Ok(())
}

impl Graph {
    /// Of these services, in an order that is theirs alone.
    pub(crate) fn of(services: &[Service]) -> Self {
        let fleet = fleet::of(services);
        let mut graph = Self::default();
        for Service { key, object, .. } in services {
            let own = graph.node(Kind::Service, &key.to_string());
            let view = fleet.view(key);
            for call in view.calls.values() {
                let there = fleet.get(&call.callee).is_some();
                let kind = if there { Kind::Service } else { Kind::Missing };
                let callee = graph.node(kind, &call.callee.to_string());
                graph.edge(&own, &callee, "calls", call.message(key));
            }
            for call in &object.spec.external_calls {
                let name = call.host.as_ref().map_or(call.name.as_str(), |host| host.as_str());
                let host = graph.node(Kind::External, name);
                graph.edge(&own, &host, "calls", None);
            }
            for (topic, seen) in &view.topics.publishes {
                let node = graph.node(Kind::Topic, topic);
                graph.edge(&own, &node, "publishes", seen.state.message(topic, key));
            }
            for (topic, seen) in &view.topics.subscribes {
                let node = graph.node(Kind::Topic, topic);
                graph.edge(&node, &own, "delivers", seen.state.message(topic, key));
            }
            if object.spec.gateway.is_some() {
                let gateway = graph.node(Kind::Gateway, "gateway");
                graph.edge(&gateway, &own, "routes", lost(&view.lost));
                for (asked, state) in &view.asks {
                    let there = fleet.get(asked).is_some();
                    let kind = if there { Kind::Service } else { Kind::Missing };
                    let asked_node = graph.node(kind, &asked.to_string());
                    graph.edge(&gateway, &asked_node, "asks", state.message(key, asked));
                }
            }
        }
        graph.nodes.sort();
        graph.nodes.dedup();
        graph.edges.sort();
        // One that is asked for several services.
        graph.edges.dedup();
        graph
    }

    fn node(&mut self, kind: Kind, label: &str) -> String {
        // A callee is drawn as one node whether its own manifest comes before or after.
        let prefix = match kind {
            Kind::Gateway => "gateway",
            Kind::Service | Kind::Missing => "service",
            Kind::Topic => "topic",
            Kind::External => "external",
        };
        let id = format!("{prefix}:{label}");
        self.nodes.push(Node { id: id.clone(), kind, label: label.to_owned() });
        id
    }

    fn edge(&mut self, from: &str, to: &str, what: &'static str, problem: Option<String>) {
        self.edges.push(Edge { from: from.to_owned(), to: to.to_owned(), what, problem });
    }
}

fn lost(lost: &std::collections::BTreeMap<String, ServiceKey>) -> Option<String> {
    let said: Vec<_> = lost.iter().map(|(claim, holder)| format!("{claim} is {holder}'s")).collect();
    (!said.is_empty()).then(|| said.join(", "))
}
