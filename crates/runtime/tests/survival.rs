//! A pod that was drained and goes on living comes back into service: the kubelet runs the preStop hook also before it
//! restarts an app whose liveness probe failed, and nobody would restart the runtime then.

#![cfg(test)]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use goodgo_runtime_config::Drain;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use support::{ConfigVolume, config, get, send};

/// The program as a process of its own, ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Ports {
    app: u16,
    service: u16,
    admin: u16,
    drain: u16,
}

/// Free a moment ago, and fixed: the program has to find them again after it started over.
fn free_ports() -> Ports {
    let held: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |index: usize| held[index].local_addr().unwrap().port();
    Ports { app: port(0), service: port(1), admin: port(2), drain: port(3) }
}

fn start(ports: &Ports, volume: &ConfigVolume, grace: u32) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goodgo-runtime"));
    command.args(["--listen", "127.0.0.1", "--gateway-port", "0", "--log", "error"]);
    command.arg("--config").arg(volume.path());
    for (flag, value) in [
        ("--app-port", u32::from(ports.app)),
        ("--service-port", u32::from(ports.service)),
        ("--admin-port", u32::from(ports.admin)),
        ("--drain-port", u32::from(ports.drain)),
        ("--grace-period", grace),
    ] {
        command.arg(flag).arg(value.to_string());
    }
    Program(command.stdin(Stdio::null()).spawn().unwrap())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The answer of `/ready`; 0 when there is none.
async fn ready(ports: &Ports) -> u16 {
    let Ok(stream) = tokio::net::TcpStream::connect(local(ports.admin)).await else { return 0 };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = get("/ready");
    request.headers_mut().insert("host", "runtime".parse().unwrap());
    // It may start over between the connection and the answer.
    sender.send_request(request).await.map_or(0, |answer| answer.status().as_u16())
}

async fn until_ready(ports: &Ports, limit: Duration) {
    let waiting = async {
        while ready(ports).await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(limit, waiting).await.is_ok(), "not ready within {limit:?}");
}

fn volume() -> ConfigVolume {
    let volume = ConfigVolume::new();
    let config = goodgo_runtime_config::RuntimeConfig {
        drain: Drain { settle_seconds: 0, timeout_seconds: 1, pre_stop: None },
        ..config([])
    };
    volume.put(&config.to_json().unwrap());
    volume
}

#[tokio::test]
async fn an_app_that_was_restarted_is_served_again_by_the_same_process() {
    let (ports, volume) = (free_ports(), volume());
    let app = TcpListener::bind(local(ports.app)).unwrap();
    let mut program = start(&ports, &volume, 600);
    until_ready(&ports, Duration::from_secs(20)).await;

    assert_eq!(send(local(ports.drain), get("/drain")).await.status(), 200);
    assert_eq!(ready(&ports).await, 503, "drained, and the app still there");
    drop(app);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ready(&ports).await, 503, "the app has ended, as in a pod that ends");

    let _app = TcpListener::bind(local(ports.app)).unwrap();
    until_ready(&ports, Duration::from_secs(20)).await;
    assert!(
        tokio::net::TcpStream::connect(local(ports.service)).await.is_ok(),
        "the service port is open again"
    );
    assert!(program.0.try_wait().unwrap().is_none(), "the process lives: no pause between restarts");
}

#[tokio::test]
async fn a_pod_that_outlives_its_grace_period_was_not_ended() {
    let (ports, volume) = (free_ports(), volume());
    let _app = TcpListener::bind(local(ports.app)).unwrap();
    let _program = start(&ports, &volume, 1);
    until_ready(&ports, Duration::from_secs(20)).await;
    assert_eq!(send(local(ports.drain), get("/drain")).await.status(), 200);
    assert_eq!(ready(&ports).await, 503);
    until_ready(&ports, Duration::from_secs(30)).await;
}
