//! containerd: the pods' containers, with a root, a state folder, a socket and a bridge of its own.

use crate::part::{Part, Program, Ready};
use crate::paths;
use crate::plan::Plan;
use anyhow::{Context, Result};

/// Name of the image that holds a pod's namespaces; nothing can be pulled, so it is made here.
pub(crate) const SANDBOX_IMAGE: &str = "localhost/goodgo/pause:1";

/// Magic number of overlayfs in statfs(2).
const OVERLAYFS: u64 = 0x794c_7630;

pub(super) fn part(plan: &Plan) -> Result<Part> {
    paths::write(&plan.file("containerd.toml"), config(plan)?)?;
    paths::write(&plan.file("cni/10-bridge.conflist"), network(plan))?;
    Ok(Part {
        args: vec!["--config".to_owned(), plan.arg("containerd.toml")],
        ready: Ready::Socket(plan.file("containerd.sock")),
        ..Part::new("containerd", Program::Host("containerd"))
    })
}

fn config(plan: &Plan) -> Result<String> {
    // overlayfs can't lie on overlayfs (a checkout inside a container): then whole copies.
    let filesystem = rustix::fs::statfs(&plan.dir).context("failed to look at the cluster's file system")?;
    let overlay = u64::try_from(filesystem.f_type).is_ok_and(|kind| kind == OVERLAYFS);
    let snapshotter = if overlay { "native" } else { "overlayfs" };
    let [root, state, socket, cni, opt] =
        ["containerd/root", "containerd/state", "containerd.sock", "cni", "containerd/opt"]
            .map(|f| plan.arg(f));
    Ok(format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX_IMAGE}"
  # A container without the right to lower its oom score would otherwise fail every sandbox.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
"#
    ))
}

fn network(plan: &Plan) -> String {
    let config = serde_json::json!({
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": true,
            // A pod reaches itself through its own Service.
            "hairpinMode": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": plan.pod_range()}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }],
    });
    format!("{config:#}\n")
}
