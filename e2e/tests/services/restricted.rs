//! Pod Security `restricted`, enforced and warned about: everything runs and nothing is complained of.

use anyhow::{Result, ensure};
use goodgo_e2e::scenario::Namespace;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_lives_with_pod_security_restricted_without_a_warning() -> Result<()> {
    let shop = Namespace::new("restricted", 4).await?;
    let label = |level: &str| format!("pod-security.kubernetes.io/{level}=restricted");
    let (enforce, warn) = (label("enforce"), label("warn"));
    shop.kubectl(&["label", "namespace", &shop.name, "--overwrite", &enforce, &warn]).await?;

    let migrate = json!({"image": shop.platform.images.runtime, "command": ["/goodgo-runtime", "--help"]});
    shop.service("full", json!({"migrate": migrate, "files": [{"path": "/tmp", "emptyDir": {}}]})).await?;
    shop.service("plain", json!({"runtime": {"enabled": false}})).await?;
    for service in ["full", "plain"] {
        shop.ready(service).await?;
        // kubectl shows the warnings that the server has for this pod template.
        let deployment = format!("deployment/{service}");
        let said = shop.kubectl_says(&["rollout", "restart", &deployment], None).await?;
        ensure!(said.success && said.stderr.is_empty(), "{service}: {}", said.stderr);
        shop.kubectl(&["rollout", "status", &deployment, "--timeout=120s"]).await?;
    }
    // And for the pods that run, by the level's own dry run.
    let said = shop
        .kubectl_says(&["label", "namespace", &shop.name, "--dry-run=server", "--overwrite", &enforce], None)
        .await?;
    ensure!(said.success && !said.stderr.contains("violate"), "{}", said.stderr);
    Ok(())
}
