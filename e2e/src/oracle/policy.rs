//! NetworkPolicies evaluated as the Kubernetes API describes them: what a pod that some policy
//! selects may send or receive is what at least one rule allows. As far as derived policies go:
//! match labels, address blocks, and ports by number or by the name that the receiving pod gives them.
#![allow(clippy::indexing_slicing, reason = "JSON answers null where nothing is; no slice is indexed")]

use serde_json::Value;

/// One end of a connection.
#[derive(Debug, Clone)]
pub struct End {
    /// Labels of its namespace.
    pub namespace_labels: Value,
    /// Name of its namespace.
    pub namespace: String,
    /// The pod as the server returns it.
    pub pod: Value,
}

impl End {
    /// The number of a port that the pod names.
    pub fn port(&self, name: &str) -> Option<u64> {
        containers(&self.pod)
            .flat_map(|container| container["ports"].as_array().into_iter().flatten())
            .find(|port| port["name"] == name)
            .and_then(|port| port["containerPort"].as_u64())
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

/// Whether these policies (of both namespaces) let `from` open a TCP connection to a port of `to`.
pub fn allows(policies: &[Value], from: &End, to: &End, port: u64) -> bool {
    side(policies, from, to, to, port, "Egress") && side(policies, to, from, to, port, "Ingress")
}

/// Whether `subject`'s own policies allow it; `receiver` names the ports.
fn side(policies: &[Value], subject: &End, peer: &End, receiver: &End, port: u64, direction: &str) -> bool {
    let mut isolated = false;
    for policy in policies {
        let spec = &policy["spec"];
        let selects = policy["metadata"]["namespace"] == *subject.namespace
            && matches(&spec["podSelector"], &subject.pod["metadata"]["labels"])
            && spec["policyTypes"].as_array().is_some_and(|types| types.iter().any(|of| of == direction));
        if !selects {
            continue;
        }
        isolated = true;
        let (rules, peers) = if direction == "Egress" { ("egress", "to") } else { ("ingress", "from") };
        let allowed = spec[rules].as_array().into_iter().flatten().any(|rule| {
            any_or_absent(&rule[peers], |of| is_peer(of, subject, peer))
                && any_or_absent(&rule["ports"], |of| is_port(of, receiver, port))
        });
        if allowed {
            return true;
        }
    }
    !isolated
}

/// An absent or empty list allows everything; an entry narrows.
fn any_or_absent(list: &Value, allows: impl Fn(&Value) -> bool) -> bool {
    list.as_array().is_none_or(|list| list.is_empty() || list.iter().any(allows))
}

fn is_peer(of: &Value, subject: &End, peer: &End) -> bool {
    if of.get("ipBlock").is_some() {
        return false; // address blocks are for what is not a pod
    }
    let namespace = match of.get("namespaceSelector") {
        Some(selector) => matches(selector, &peer.namespace_labels),
        None => subject.namespace == peer.namespace,
    };
    namespace
        && of.get("podSelector").is_none_or(|selector| matches(selector, &peer.pod["metadata"]["labels"]))
}

fn is_port(of: &Value, receiver: &End, port: u64) -> bool {
    if of.get("protocol").is_some_and(|protocol| protocol != "TCP") {
        return false;
    }
    match of.get("port") {
        None => true,
        Some(Value::String(name)) => receiver.port(name) == Some(port),
        Some(first) => {
            let first = first.as_u64().unwrap_or_default();
            (first..=of["endPort"].as_u64().unwrap_or(first)).contains(&port)
        }
    }
}

fn matches(selector: &Value, labels: &Value) -> bool {
    let by_label = selector["matchLabels"]
        .as_object()
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let by_expression = selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| {
        let label = labels.get(expression["key"].as_str().unwrap_or_default());
        let listed = label
            .is_some_and(|label| expression["values"].as_array().is_some_and(|list| list.contains(label)));
        match expression["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => label.is_some(),
            Some("DoesNotExist") => label.is_none(),
            _ => false,
        }
    });
    by_label && by_expression
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn end(name: &str) -> End {
        let pod = json!({"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 80}]}]}});
        End { namespace: "shop".into(), namespace_labels: json!({"team": "shop"}), pod }
    }

    fn policy(spec: &Value) -> Value {
        json!({"metadata": {"namespace": "shop"}, "spec": spec})
    }

    #[test]
    fn what_no_policy_selects_is_open_and_what_one_selects_is_closed() {
        let (a, b) = (end("a"), end("b"));
        assert!(allows(&[], &a, &b, 80));
        let closed =
            policy(&json!({"podSelector": {"matchLabels": {"app": "b"}}, "policyTypes": ["Ingress"]}));
        assert!(!allows(std::slice::from_ref(&closed), &a, &b, 80));
        assert!(allows(&[closed], &b, &a, 80), "ingress says nothing about egress");
    }

    #[test]
    fn a_rule_opens_just_its_peer_and_port() {
        let (a, b, c) = (end("a"), end("b"), end("c"));
        let rule =
            json!({"from": [{"podSelector": {"matchLabels": {"app": "a"}}}], "ports": [{"port": "web"}]});
        let open =
            [policy(&json!({"podSelector": {"matchLabels": {"app": "b"}}, "policyTypes": ["Ingress"],
            "ingress": [rule]}))];
        assert!(allows(&open, &a, &b, 80));
        assert!(!allows(&open, &a, &b, 81));
        assert!(!allows(&open, &c, &b, 80));
        let elsewhere = End { namespace: "bank".into(), ..end("a") };
        assert!(!allows(&open, &elsewhere, &b, 80));
    }
}
