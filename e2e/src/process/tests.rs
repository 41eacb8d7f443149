//! An unhealthy part is reported with its last log lines, not with a number alone.

use super::*;
use crate::plan::{Nodes, Options};

fn plan(dir: &Path) -> Plan {
    Plan {
        id: "goodgo-unit".to_owned(),
        dir: dir.to_path_buf(),
        nodes: Nodes::None,
        address: "127.0.0.1".to_owned(),
        subnet: 0,
        options: Options::default(),
    }
}

/// A part that is never ready by itself and runs this script.
fn part(script: &str, dir: &Path) -> Part {
    Part {
        args: vec!["-c".to_owned(), script.to_owned()],
        ready: Ready::Socket(dir.join("never.sock")),
        ..Part::new("sad", Program::Host("sh"))
    }
}

#[tokio::test]
async fn a_part_that_ends_is_reported_with_its_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let script = "for n in $(seq 40); do echo line $n; done; echo the disk is full >&2; exit 3";
    let error =
        Running::start(&plan(folder.path()), vec![part(script, folder.path())], |_| {}).await.unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("sad ended (exit status: 3)\n"), "{said}");
    assert!(said.contains("logs/sad.log:\n"), "{said}");
    assert!(said.ends_with("\n  | line 40\n  | the disk is full"), "{said}");
    assert_eq!(said.matches("  | ").count(), LOG_LINES, "{said}");
}

#[tokio::test]
async fn a_part_that_never_gets_ready_is_reported_with_its_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let part = Part {
        patience: Duration::from_secs(2),
        ..part("echo waiting for a friend; exec sleep 60", folder.path())
    };
    let error = Running::start(&plan(folder.path()), vec![part], |_| {}).await.unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("sad is not ready after 2 s: "), "{said}");
    assert!(said.ends_with("\n  | waiting for a friend"), "{said}");
}

#[tokio::test]
async fn a_part_that_ends_after_it_was_ready_is_reported_with_its_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let part =
        Part { ready: Ready::AtOnce, ..part("read line < go; echo out of memory; exit 9", folder.path()) };
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("go"), rustix::fs::Mode::RWXU).unwrap();
    let mut running = Running::start(&plan(folder.path()), vec![part], |_| {}).await.unwrap();
    assert_eq!(running.check(), None);
    fs::write(folder.path().join("go"), "now\n").unwrap();
    let began = Instant::now();
    let reason = loop {
        if let Some(reason) = running.check() {
            break reason;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "not noticed");
        tokio::time::sleep(LOOK).await;
    };
    assert!(reason.starts_with("sad ended (exit status: 9)\n"), "{reason}");
    assert!(reason.ends_with("\n  | out of memory"), "{reason}");
    assert_eq!(running.states().get("sad"), Some(&State::Failed(reason)));
}
