//! Mermaid's flowcharts, which Markdown viewers draw.

use std::fmt::Write;

use super::{Graph, Kind};

/// The whole diagram. Nodes are numbered: names may be words of the language.
pub(super) fn draw(graph: &Graph) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (number, node) in graph.nodes.iter().enumerate() {
        let label = quoted(&node.label);
        let (open, close) = match node.kind {
            Kind::Gateway => ("{{", "}}"),
            Kind::Service | Kind::Missing => ("[", "]"),
            Kind::Topic => ("[(", ")]"),
            Kind::External => ("([", "])"),
        };
        let _ = writeln!(text, "  n{number}{open}{label}{close}");
    }
    let number = |id: &str| graph.nodes.iter().position(|node| node.id == id);
    let mut problems = Vec::new();
    for (index, edge) in graph.edges.iter().enumerate() {
        let (Some(from), Some(to)) = (number(&edge.from), number(&edge.to)) else { continue };
        let _ = match &edge.problem {
            None if edge.what == "calls" => writeln!(text, "  n{from} --> n{to}"),
            None => writeln!(text, "  n{from} -->|{}| n{to}", edge.what),
            Some(_) => {
                problems.push(index.to_string());
                writeln!(text, "  n{from} -.->|{} fails| n{to}", edge.what)
            }
        };
    }
    let missing: Vec<_> =
        graph.nodes.iter().enumerate().filter(|(_, node)| node.kind == Kind::Missing).collect();
    for (number, _) in missing {
        let _ = writeln!(text, "  style n{number} stroke:#c00,stroke-dasharray:4");
    }
    if !problems.is_empty() {
        let _ = writeln!(text, "  linkStyle {} stroke:#c00", problems.join(","));
    }
    text
}

/// A label that is nothing else, whatever is in it.
fn quoted(label: &str) -> String {
    let safe = label.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    format!("\"{safe}\"")
}
