//! Redis.

use std::process::Command;

use super::server::{PASSWORD, Server};
use super::{Checked, nobody};

#[tokio::test]
async fn a_redis_that_ends_gates_after_three_failures_and_its_return_is_noticed() {
    let mut server = Server::redis(&[]);
    let url = format!("rediss://app:{PASSWORD}@localhost:{}/0", server.port);
    let checked = Checked::start("redis", &url, &["--tls-ca-file", &server.ca()]).await;
    checked.up("redis").await;
    checked.ready().await;
    server.stop();
    let down = checked.unready("redis").await;
    assert!(down["failuresInARow"].as_u64() >= Some(3), "{down}");
    server.start();
    checked.ready().await;

    checked.put("redis", &url.replace(PASSWORD, "wrong-secret"));
    checked.says("redis", "Password authentication failed").await;
    checked.put("redis", &url.replace("localhost", "127.0.0.1"));
    checked.says("redis", "certificate").await;
    // One of several hosts suffices.
    checked.put("redis", &url.replace("localhost", &format!("{},localhost", nobody().await)));
    checked.ready().await;
    checked.running.stop().await;
}

#[tokio::test]
async fn a_cluster_that_is_not_whole_is_down() {
    let server = Server::redis(&["cluster-enabled yes", "tls-cluster yes"]);
    let url = format!("rediss+cluster://app:{PASSWORD}@localhost:{}", server.port);
    let checked = Checked::start("redis", &url, &["--tls-ca-file", &server.ca()]).await;
    checked.says("redis", "the cluster's state is not ok").await;
    let assigned = Command::new("redis-cli")
        .args(["--tls", "--cacert", &server.ca(), "-h", "localhost", "-p", &server.port.to_string()])
        .args(["--user", "app", "--pass", PASSWORD, "--no-auth-warning"])
        .args(["cluster", "addslotsrange", "0", "16383"])
        .output()
        .expect("redis-cli is missing: apt-get install redis-tools");
    assert_eq!(String::from_utf8_lossy(&assigned.stdout).trim(), "OK", "{assigned:?}");
    checked.ready().await;
    checked.up("redis").await;
    checked.running.stop().await;
}
