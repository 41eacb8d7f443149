//! The three stages inside a cluster: the outer process, PID 1, and the supervisor of the parts.

use super::{Record, Status, machine, network, record};
use crate::host::run;
use crate::parts;
use crate::paths;
use crate::plan::{Nodes, Plan};
use crate::process::Running;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn plan(dir: &Path) -> Result<Plan> {
    let text = fs::read(dir.join("cluster.json")).context("failed to read the cluster's record")?;
    let record: Record =
        serde_json::from_slice(&text).context("failed to understand the cluster's record")?;
    Ok(record.plan)
}

/// Becomes the outer process: leaves the caller's session, enters the cluster's network and makes
/// PID and mount namespaces. Simulated nodes need none of this: then it is the supervisor itself.
///
/// # Errors
/// What the machine refused.
pub fn outer(dir: &Path) -> Result<()> {
    rustix::process::setsid().context("failed to leave the session")?;
    record::i_am_outer(dir)?;
    let plan = plan(dir)?;
    if plan.nodes != Nodes::Real {
        // Nothing to isolate: the parts listen on an address of their own and end with this process.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.context("failed to start the runtime")?.block_on(supervise(dir));
    }
    let me = std::env::current_exe().context("failed to find this program")?;
    let error = Command::new("nsenter")
        .arg(format!("--net={}", network::namespace_file(&plan)))
        .args([
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
        ])
        .arg(me)
        .args(["init", "--dir"])
        .arg(dir)
        .exec();
    Err(error).context("failed to enter the cluster's namespaces")
}

/// PID 1: covers the shared folders, starts the supervisor, reaps what containers leave. Ends with the supervisor.
///
/// # Errors
/// When a folder can't be covered or the supervisor not be started.
pub fn init(dir: &Path) -> Result<()> {
    for folder in machine::COVERED {
        fs::create_dir_all(folder).with_context(|| format!("failed to create {folder}"))?;
        run("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", folder])?;
    }
    let me = std::env::current_exe().context("failed to find this program")?;
    let supervisor = Command::new(me)
        .args(["supervise", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .spawn()
        .context("failed to start the supervisor")?;
    let supervisor = i32::try_from(supervisor.id()).context("failed to know the supervisor's number")?;
    loop {
        match rustix::process::waitpid(None, rustix::process::WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid.as_raw_nonzero().get() == supervisor => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("failed to wait for children"),
        }
    }
}

/// Starts the parts, keeps `status.json` true, and ends when the owner does.
///
/// # Errors
/// The part that failed, also in `status.json`.
pub async fn supervise(dir: &Path) -> Result<()> {
    let plan = plan(dir)?;
    let mut status = Status::default();
    let list = match plan.nodes {
        Nodes::Real => parts::cluster(&plan)?,
        Nodes::Simulated => parts::simulated(&plan)?,
        Nodes::None => parts::control_plane(&plan, true)?,
    };
    let started = Running::start(&plan, list, |parts| {
        status.parts.clone_from(parts);
        let _ = write(&plan, &status);
    })
    .await;
    let mut running = match started {
        Ok(running) => running,
        Err(error) => {
            status.failed = Some(format!("{error:#}"));
            write(&plan, &status)?;
            return Err(error);
        }
    };
    status.ready = true;
    write(&plan, &status)?;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if record::is_orphan(&plan) {
            return Ok(());
        }
        if let Some(reason) = running.check() {
            status.parts = running.states();
            status.ready = false;
            status.failed = Some(reason);
            // The others go on: what is left is worth looking at.
            write(&plan, &status)?;
        }
    }
}

fn write(plan: &Plan, status: &Status) -> Result<()> {
    let unfinished = plan.file("status.json.new");
    paths::write(&unfinished, serde_json::to_vec_pretty(status)?)?;
    fs::rename(&unfinished, plan.file("status.json")).context("failed to write the status")
}
