//! The program as people run it.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::{Value, json};

fn goodgoctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_goodgoctl")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// In a namespace of its own, so that it meets nobody.
fn manifest(number: usize, name: &str, spec: &Value) -> Value {
    let mut merged = json!({"image": "demo:1"});
    for (key, value) in spec.as_object().unwrap() {
        merged[key] = value.clone();
    }
    json!({"apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService", "metadata": {"name": name, "namespace": format!("n{number}")}, "spec": merged})
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn service(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: goodgo.io/v1alpha1\nkind: GoodGoService\nmetadata:\n  name: {name}\nspec:\n  image: demo:1\n{spec}"
    )
}

#[derive(Deserialize)]
struct Finding {
    file: PathBuf,
    path: String,
    severity: String,
    message: String,
    line: u64,
}

fn findings(folder: &Path) -> (i32, Vec<Finding>) {
    let done = goodgoctl(&["validate", "-o", "json", "-f", folder.to_str().unwrap()]);
    let found = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", text(&done.stderr)));
    (done.status.code().unwrap(), found)
}

#[derive(Debug, Deserialize)]
struct Refused {
    path: String,
    says: String,
    #[serde(default)]
    name: Option<String>,
    spec: Value,
}

/// The table is compared with the real API server by the operator's tests.
#[test]
fn every_fault_is_found_at_the_servers_place_with_its_sentence() {
    let table = std::fs::read_to_string(checkout().join("crates/api/tests/admission/refused.yaml")).unwrap();
    let rows: Vec<Refused> = serde_saphyr::from_str(&table).unwrap();
    assert!(rows.len() > 80);
    let plain = |path: &str| path.replace(['[', ']'], ".").replace("..", ".").trim_matches('.').to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = |number: usize| folder.path().join(format!("{number}.json"));
    for (number, row) in rows.iter().enumerate() {
        let text = manifest(number, row.name.as_deref().unwrap_or("svc"), &row.spec).to_string();
        std::fs::write(file(number), text).unwrap();
    }
    let (code, found) = findings(folder.path());
    assert_eq!(code, 1);
    let mut wrong = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let of_it: Vec<_> = found.iter().filter(|finding| finding.file == file(number)).collect();
        let is_it = |finding: &&Finding| {
            plain(&finding.path) == plain(&row.path) && finding.message.contains(&row.says)
        };
        if !of_it.iter().any(is_it) {
            let said: Vec<_> = of_it.iter().map(|finding| (&finding.path, &finding.message)).collect();
            wrong.push(format!("{}: wanted {:?}, got {said:?}", row.path, row.says));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_server_accepts_is_fine() {
    #[derive(Deserialize)]
    struct Accepted {
        name: String,
        spec: Value,
    }
    let table = std::fs::read_to_string(checkout().join("crates/api/tests/admission/accepted.yaml")).unwrap();
    let rows: Vec<Accepted> = serde_saphyr::from_str(&table).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (number, row) in rows.iter().enumerate() {
        let text = manifest(number, &row.name, &row.spec).to_string();
        std::fs::write(folder.path().join(format!("{number}.json")), text).unwrap();
    }
    let (_, found) = findings(folder.path());
    // Callees and publishers are no business of the server.
    let of_others = ["there is no GoodGoService", "nobody publishes"];
    let of_itself =
        found.iter().filter(|finding| !of_others.iter().any(|said| finding.message.contains(said)));
    let said: Vec<_> = of_itself
        .filter(|finding| finding.severity == "error")
        .map(|finding| format!("{}: {}", finding.path, finding.message))
        .collect();
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn services_are_checked_against_each_other() {
    let folder = folder(&[
        (
            "a.yaml",
            &service(
                "a",
                "  calls:\n  - service: b\n  - service: nobody\n  - service: far\n    namespace: away\n",
            ),
        ),
        ("b.yaml", &service("b", "  access:\n    callers:\n    - service: c\n  calls:\n  - service: c\n")),
        (
            "c.yaml",
            &service(
                "c",
                "  calls:\n  - service: b\n  events:\n    subscribes:\n    - topic: order.placed\n",
            ),
        ),
        (
            "d.yaml",
            &service(
                "d",
                "  gateway:\n    hosts: [api.example.com]\n    tls: {secret: cert}\n    routes:\n    - name: me\n      path: /me\n      \
                 auth: {at: Gateway, forward: {service: nobody, path: /verify}}\n",
            ),
        ),
    ]);
    let (code, found) = findings(folder.path());
    assert_eq!(code, 1);
    let said = |text: &str| {
        found.iter().find(|finding| finding.message.contains(text)).unwrap_or_else(|| {
            panic!("{text}: {:?}", found.iter().map(|finding| &finding.message).collect::<Vec<_>>())
        })
    };
    for (sentence, path, line, severity) in [
        ("there is no GoodGoService default/nobody", "spec.calls[1]", 9, "error"),
        ("there is no GoodGoService away/far", "spec.calls[2]", 10, "warning"),
        ("default/b does not accept a: add {service: a}", "spec.calls[0]", 8, "error"),
        ("default/b → default/c → default/b", "spec.calls", 11, "warning"),
        ("nobody publishes to order.placed", "spec.events.subscribes[0]", 11, "error"),
        ("routes that ask default/nobody are closed: there is no", "spec.gateway.routes", 11, "error"),
    ] {
        let finding = said(sentence);
        assert_eq!((&*finding.path, finding.line, &*finding.severity), (path, line, severity), "{sentence}");
    }
}

#[test]
fn the_examples_are_fine_and_render_as_many_documents_as_the_operator_applies() {
    let examples = checkout().join("examples");
    let done = goodgoctl(&["validate", "-f", examples.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    let done = goodgoctl(&["render", "-o", "json", "-f", examples.to_str().unwrap(), "user-service"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let list: Value = serde_json::from_slice(&done.stdout).unwrap();
    let kinds: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    for kind in ["ServiceAccount", "NetworkPolicy", "ConfigMap", "Service", "Deployment"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let yaml = goodgoctl(&["render", "-f", examples.to_str().unwrap(), "user-service"]);
    assert_eq!(text(&yaml.stdout).matches("\n---\n").count() + 1, kinds.len());
}

#[test]
fn the_graph_is_drawn_and_reaching_is_explained() {
    let examples = checkout().join("examples");
    let path = examples.to_str().unwrap();
    let drawn = text(&goodgoctl(&["graph", "-f", path]).stdout);
    assert!(drawn.starts_with("flowchart LR\n") && drawn.contains("[\"default/user-service\"]"), "{drawn}");
    let dot = text(&goodgoctl(&["graph", "-o", "dot", "-f", path]).stdout);
    assert!(dot.contains("\"service:default/order-service\" -> \"service:default/user-service\""), "{dot}");
    let may = goodgoctl(&["graph", "-f", path, "--why", "order-service", "user-service"]);
    assert!(may.status.success() && text(&may.stdout).starts_with("yes: "), "{}", text(&may.stdout));
    let not = goodgoctl(&["graph", "-f", path, "--why", "iam-service", "order-service"]);
    assert_eq!(not.status.code(), Some(1));
    assert!(text(&not.stdout).starts_with("no: "), "{}", text(&not.stdout));
}

#[test]
fn what_cannot_be_read_ends_with_2_and_a_next_step() {
    let folder = folder(&[("broken.yaml", "a: [\n"), ("other.txt", "")]);
    let path = folder.path().to_str().unwrap();
    for (arguments, sentence) in [
        (&["validate", "-f", "/nowhere.yaml"][..], "failed to read /nowhere.yaml"),
        (&["validate", "-f", path], "is no YAML"),
        (&["validate"], "--filename <PATH>"),
        (
            &["render", "-f", checkout().join("examples").to_str().unwrap(), "nobody"],
            "there is no GoodGoService nobody",
        ),
    ] {
        let done = goodgoctl(arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(text(&done.stderr).contains(sentence), "{arguments:?}: {}", text(&done.stderr));
    }
}

#[test]
fn completions_and_the_manual_are_there() {
    for (arguments, sentence) in [
        (&["completions", "bash"][..], "_goodgoctl"),
        (&["man"], ".TH goodgoctl"),
        (&["--help"], "Exit codes:"),
    ] {
        let done = goodgoctl(arguments);
        assert!(done.status.success() && text(&done.stdout).contains(sentence), "{arguments:?}");
    }
}
