//! Graphviz.

use std::fmt::Write;

use super::{Graph, Kind};

/// The whole graph.
pub(super) fn draw(graph: &Graph) -> String {
    let mut text = "digraph fleet {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
    for node in &graph.nodes {
        let shape = match node.kind {
            Kind::Gateway => "shape=hexagon",
            Kind::Service => "shape=box, style=rounded",
            Kind::Missing => "shape=box, style=dashed, color=red",
            Kind::Topic => "shape=cylinder",
            Kind::External => "shape=oval",
        };
        let _ = writeln!(text, "  {} [label={}, {shape}];", quoted(&node.id), quoted(&node.label));
    }
    for edge in &graph.edges {
        let (from, to, what) = (quoted(&edge.from), quoted(&edge.to), quoted(edge.what));
        let _ = match &edge.problem {
            None => writeln!(text, "  {from} -> {to} [label={what}];"),
            Some(problem) => {
                let problem = quoted(problem);
                writeln!(text, "  {from} -> {to} [label={what}, color=red, style=dashed, tooltip={problem}];")
            }
        };
    }
    text.push_str("}\n");
    text
}

/// A string of the language, whatever is in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "))
}
