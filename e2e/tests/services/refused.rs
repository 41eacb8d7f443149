//! A bad manifest is refused with its place and a sentence, by whichever apply.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::paths;
use goodgo_e2e::scenario::Namespace;
use serde::Deserialize;
use serde_json::{Value, json};

/// A row of the API's own table of faults.
#[derive(Debug, Deserialize)]
struct Refused {
    path: String,
    says: String,
    #[serde(default)]
    name: Option<String>,
    spec: Value,
}

fn table() -> Result<Vec<Refused>> {
    let file = paths::checkout().join("crates/api/tests/admission/refused.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(serde_saphyr::from_str(&text)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_apply_tells_path_and_sentence_of_a_fault() -> Result<()> {
    let shop = Namespace::new("refused", 0).await?;
    let rows = table()?;
    // Each tenth row: the whole table is admission's own test, this shows what a person sees.
    for row in rows.iter().step_by(10) {
        let mut spec = json!({"image": "demo:1"});
        for (field, value) in row.spec.as_object().context("a spec")? {
            spec[field] = value.clone();
        }
        let manifest = json!({"apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
            "metadata": {"name": row.name.as_deref().unwrap_or("web")}, "spec": spec});
        for apply in [&["apply", "-f", "-"][..], &["apply", "--server-side", "-f", "-"]] {
            let said = shop.kubectl_says(apply, Some(manifest.to_string())).await?;
            ensure!(!said.success, "{row:?} was accepted");
            // Server-side apply meets what is there twice before validation does: it merges lists by their keys.
            let twice = row.says == "Duplicate value" && apply.contains(&"--server-side");
            let (path, says) = if twice {
                (row.path.split('[').next().context("a list")?, "duplicate entries for key")
            } else {
                (row.path.as_str(), row.says.as_str())
            };
            assert!(said.stderr.contains(says), "{row:?}: {}", said.stderr);
            assert!(said.stderr.contains(path), "{row:?}: {}", said.stderr);
        }
    }
    assert!(shop.api("GoodGoService")?.list(&Default::default()).await?.items.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_field_is_refused_not_dropped() -> Result<()> {
    let shop = Namespace::new("misspelt", 0).await?;
    let manifest = json!({"apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
        "metadata": {"name": "web"}, "spec": {"image": "demo:1", "call": [{"service": "iam"}]}});
    let said = shop.kubectl_says(&["apply", "-f", "-"], Some(manifest.to_string())).await?;
    ensure!(!said.success, "it was accepted");
    assert!(said.stderr.contains("unknown field \"spec.call\""), "{}", said.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_operator_can_see_is_wrong_stalls_with_a_sentence() -> Result<()> {
    let shop = Namespace::new("stalled", 1).await?;
    shop.service("web", json!({"calls": [{"service": "web"}]})).await?;
    let soon = std::time::Duration::from_secs(30);
    shop.until("web", "Stalled", "True", &["calls"], soon).await?;
    shop.until("web", "Ready", "False", &[], soon).await?;
    shop.service("web", json!({})).await?;
    shop.ready("web").await?;
    Ok(())
}
