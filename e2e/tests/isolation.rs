//! The development cluster keeps its promises: clusters side by side don't disturb each other, a
//! killed one ends whole and comes back, and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

use goodgo_e2e::cluster::{Cluster, Lifetime, Record, Wanted, leftovers};
use goodgo_e2e::plan::{Nodes, Options};
use std::time::{Duration, Instant};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: witness, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: 'localhost/goodgo/pause:1', imagePullPolicy: IfNotPresent}]
";

async fn up(name: &str) -> Cluster {
    let wanted = Wanted { nodes: Nodes::Real, options: Options::default(), lifetime: Lifetime::WithCaller };
    Cluster::up(name, wanted).await.unwrap()
}

fn run_pod(cluster: &Cluster) -> String {
    cluster.kubectl().apply(POD).unwrap();
    cluster.kubectl().run(&["wait", "--for=condition=Ready", "pod/witness", "--timeout=60s"]).unwrap();
    state(cluster)
}

/// What changes when someone touches the pod: identity, restarts, address.
fn state(cluster: &Cluster) -> String {
    let path = "jsonpath={.metadata.uid} {.status.phase} {.status.containerStatuses[0].restartCount} {.status.podIP}";
    cluster.kubectl().run(&["get", "pod", "witness", "-o", path]).unwrap()
}

fn kill_outer(cluster: &Cluster) {
    let outer = std::fs::read_to_string(cluster.plan().file("outer.json")).unwrap();
    let outer: serde_json::Value = serde_json::from_str(&outer).unwrap();
    let pid = i32::try_from(outer["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

fn left_of(id: &str) -> Vec<String> {
    leftovers().unwrap().into_iter().filter(|thing| thing.contains(id)).collect()
}

#[tokio::test]
async fn a_killed_cluster_ends_whole_comes_back_and_disturbs_no_other() {
    let (first, second) = (up("side-a").await, up("side-b").await);
    assert_ne!(first.plan().subnet, second.plan().subnet);
    run_pod(&first);
    let before = run_pod(&second);

    kill_outer(&first);
    let began = Instant::now();
    let id = first.plan().id.clone();
    // What the kernel keeps by name is known from the record, and all that is left.
    while left_of(&id).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(5), "the killed cluster still counts as running");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let again = up("side-a").await;
    let none = again.kubectl().run(&["get", "pods", "-n", "default", "-o", "name"]).unwrap();
    assert_eq!(none, "", "a new cluster begins empty");
    run_pod(&again);
    assert_eq!(state(&second), before, "the neighbour's pod was touched");

    let ids = [again.plan().id.clone(), second.plan().id.clone()];
    drop((first, again, second));
    for id in ids {
        assert_eq!(left_of(&id), Vec::<String>::new());
        assert!(!Record::all().unwrap().iter().any(|record| record.plan.id == id));
    }
}

#[tokio::test]
async fn names_resolve_and_services_answer_from_the_host() {
    let cluster = up("names").await;
    let dns = format!("{}:53", cluster.plan().dns_service());
    // A query for kubernetes.default.svc.cluster.local, type A, by hand: one question, no options.
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["kubernetes", "default", "svc", "cluster", "local"] {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(&query, &dns).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    let octets: Vec<u8> =
        cluster.plan().kubernetes_service().split('.').map(|octet| octet.parse().unwrap()).collect();
    assert_eq!(&answer[length - 4..length], octets, "the answer ends with the Service's address");
}
