//! The control plane on loopback: works without nodes, several at once, and dies with its owner.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

use goodgo_e2e::control_plane::{ControlPlane, ControlPlaneOptions};
use goodgo_e2e::kubectl::Kubectl;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[tokio::test]
async fn two_at_once_have_their_own_objects_and_controllers() {
    let options = || ControlPlaneOptions { controllers: true };
    let (one, other) = tokio::join!(ControlPlane::start(options()), ControlPlane::start(options()));
    let (one, other) = (one.unwrap(), other.unwrap());
    one.kubectl().apply("{apiVersion: v1, kind: Namespace, metadata: {name: only-here}}").unwrap();
    let namespaces = |of: &ControlPlane| of.kubectl().run(&["get", "namespaces", "-o", "name"]).unwrap();
    assert!(namespaces(&one).contains("namespace/only-here"));
    assert!(!namespaces(&other).contains("namespace/only-here"));
    // A controller at work: namespaces get their ServiceAccount.
    let began = Instant::now();
    while one.kubectl().run(&["get", "serviceaccount", "default", "-n", "only-here"]).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "no controller made the ServiceAccount");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let audit = std::fs::read_to_string(one.audit_log()).unwrap();
    assert!(audit.contains(r#""user":{"username":"kubernetes-admin""#), "requests are audited by user");
    let folder = one.dir().to_path_buf();
    drop(one);
    assert!(!folder.exists());
}

#[test]
fn killing_the_owner_ends_its_parts() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_goodgo-dev"))
        .arg("control-plane")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").unwrap().to_owned();
    let kubectl = Kubectl::new(Path::new(&kubeconfig));
    kubectl.run(&["get", "namespaces"]).unwrap();

    owner.kill().unwrap();
    owner.wait().unwrap();
    let began = Instant::now();
    while kubectl.run(&["get", "namespaces", "--request-timeout=2s"]).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(5), "the API server outlived its owner");
        std::thread::sleep(Duration::from_millis(50));
    }
}
