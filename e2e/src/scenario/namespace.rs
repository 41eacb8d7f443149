//! A namespace of one test: its services, what was derived from them, and what a person sees of them.
#![allow(clippy::indexing_slicing, reason = "JSON answers null where nothing is; no slice is indexed")]

use super::{Platform, Room, eventually, platform};
use crate::http;
use crate::oracle::kind;
use anyhow::{Context, Result, bail, ensure};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Secret with the fixed key by which the host is let in.
const KEYS: &str = "test-keys";

/// What kubectl said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Whether it ended well.
    pub success: bool,
    /// Its answer.
    pub stdout: String,
    /// Its complaints and warnings.
    pub stderr: String,
}

/// A namespace that is deleted when the test ends, however it ends.
///
/// Pod Security `restricted` is enforced in it: everything that is derived must live with that.
pub struct Namespace {
    /// Its name, unique.
    pub name: String,
    /// Where it is.
    pub platform: &'static Platform,
    client: kube::Client,
    _room: Room,
}

impl Namespace {
    /// A new namespace, named after its purpose, once there is room for so many pods.
    ///
    /// # Errors
    /// When the platform can't be had.
    pub async fn new(purpose: &str, pods: u32) -> Result<Self> {
        let room = Room::of(pods).await?;
        Self::with(purpose, room).await
    }

    /// A new namespace while no other test of this process has pods.
    ///
    /// # Errors
    /// When the platform can't be had.
    pub async fn alone(purpose: &str) -> Result<Self> {
        let room = Room::alone().await?;
        Self::with(purpose, room).await
    }

    async fn with(purpose: &str, room: Room) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let platform = platform().await?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}-{}-{number}", std::process::id());
        let client = platform.cluster.client().await?;
        let namespace = Self { name, platform, client, _room: room };
        namespace
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}))
            .await?;
        namespace
            .apply(&json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"host": http::KEY},
                "metadata": {"name": KEYS, "namespace": namespace.name}}))
            .await?;
        Ok(namespace)
    }

    /// A client as administrator.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Objects of one kind in this namespace.
    ///
    /// # Errors
    /// When the harness does not know the kind.
    pub fn api(&self, of: &str) -> Result<Api<DynamicObject>> {
        Ok(Api::namespaced_with(self.client(), &self.name, &kind(of)?))
    }

    /// Runs kubectl in this namespace and returns what it said, also when it ended badly.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn kubectl_says(&self, args: &[&str], input: Option<String>) -> Result<Said> {
        let mut command = self.platform.cluster.kubectl().command()?;
        command.args(["--namespace", &self.name]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = move || -> Result<Said> {
            let mut child = command.spawn().context("failed to run kubectl")?;
            if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
                // A broken pipe means kubectl ended early; its own words say why.
                let _ = stdin.write_all(input.as_bytes());
            }
            let output = child.wait_with_output().context("failed to wait for kubectl")?;
            Ok(Said {
                success: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            })
        };
        tokio::task::spawn_blocking(run).await?
    }

    /// Runs kubectl in this namespace and returns its answer.
    ///
    /// # Errors
    /// What it said on stderr when it ended badly.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let said = self.kubectl_says(args, None).await?;
        ensure!(said.success, "failed to kubectl {}: {}", args.join(" "), said.stderr.trim());
        Ok(said.stdout)
    }

    /// Server-side applies an object as a person does.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn apply(&self, object: &Value) -> Result<DynamicObject> {
        let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
        let name = text("/metadata/name");
        let params = PatchParams::apply("person").force();
        let api = match text("/kind") {
            "Namespace" => Api::all_with(self.client(), &kind("Namespace")?),
            other => self.api(other)?,
        };
        api.patch(name, &params, &Patch::Apply(object))
            .await
            .with_context(|| format!("failed to apply {object}"))
    }

    /// Applies a GoodGoService whose image is the demo service, unless the spec says otherwise. The host, which has no
    /// runtime, may call it with [`http::KEY`] unless the spec says `access.keys: null`.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn service(&self, name: &str, spec: Value) -> Result<()> {
        let mut whole = json!({"image": self.platform.images.demo,
            "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "health": {"ready": {"initialDelay": "1s", "period": "1s"}}});
        if let (Some(whole), Value::Object(spec)) = (whole.as_object_mut(), spec) {
            whole.extend(spec);
        }
        match whole.pointer_mut("/access/keys") {
            Some(Value::Null) => drop(whole["access"].as_object_mut().map(|access| access.remove("keys"))),
            Some(_) => {}
            None => whole["access"]["keys"] = json!({"secret": KEYS}),
        }
        self.apply(&json!({"apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
            "metadata": {"name": name, "namespace": self.name}, "spec": whole}))
            .await?;
        Ok(())
    }

    /// Merges a patch into an object, as a person who edits it.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn edit(&self, of: &str, name: &str, patch: Value) -> Result<Value> {
        let params = PatchParams { field_manager: Some("person".to_owned()), ..PatchParams::default() };
        let edited = self.api(of)?.patch(name, &params, &Patch::Merge(&patch)).await;
        Ok(serde_json::to_value(edited.with_context(|| format!("failed to edit {of} {name}: {patch}"))?)?)
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// When the server can't say.
    pub async fn find(&self, of: &str, name: &str) -> Result<Option<Value>> {
        Ok(self.api(of)?.get_opt(name).await?.map(serde_json::to_value).transpose()?)
    }

    /// An object that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn get(&self, of: &str, name: &str) -> Result<Value> {
        self.find(of, name).await?.with_context(|| format!("{of} {name} is not there"))
    }

    /// Objects of a kind that carry the labels.
    ///
    /// # Errors
    /// When the server can't say.
    pub async fn list(&self, of: &str, labels: &str) -> Result<Vec<Value>> {
        let list = self.api(of)?.list(&ListParams::default().labels(labels)).await?;
        list.items.into_iter().map(|item| Ok(serde_json::to_value(item)?)).collect()
    }

    /// Pods of a service, ending ones included.
    ///
    /// # Errors
    /// When the server can't say.
    pub async fn pods(&self, service: &str) -> Result<Vec<Value>> {
        self.list("Pod", &format!("goodgo.io/service={service},goodgo.io/track=stable")).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn delete(&self, of: &str, name: &str) -> Result<()> {
        self.api(of)?.delete(name, &DeleteParams::background()).await?;
        Ok(())
    }

    /// Waits for a condition of a service at its current generation, with words in its message.
    ///
    /// # Errors
    /// The service as kubectl describes it, its pods and their last words.
    pub async fn until(
        &self,
        service: &str,
        of: &str,
        status: &str,
        words: &[&str],
        patience: Duration,
    ) -> Result<Value> {
        let what = format!("{service} is {of}={status} with {words:?}");
        let seen = eventually(&what, patience, || async {
            let service = self.get("GoodGoService", service).await?;
            let found = condition(&service, of)
                .with_context(|| format!("no condition {of}: {}", service["status"]))?;
            ensure!(is_current(&service, found), "condition of another generation: {found}");
            ensure!(found["status"] == status, "{found}");
            let message = found["message"].as_str().unwrap_or_default();
            ensure!(words.iter().all(|word| message.contains(word)), "{found}");
            Ok(service)
        });
        match seen.await {
            Ok(service) => Ok(service),
            Err(error) => bail!("{error:#}\n{}", self.state(service).await),
        }
    }

    /// Waits until a service is Ready at its current generation.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn ready(&self, service: &str) -> Result<Value> {
        self.until(service, "Ready", "True", &[], Duration::from_secs(120)).await
    }

    /// Waits until a service has just so many pods, all ready and none of them `old` (by uid).
    ///
    /// # Errors
    /// The pods that it has.
    pub async fn settled(&self, service: &str, count: usize, old: &[String]) -> Result<Vec<Value>> {
        let what = format!("{service} has {count} ready pods, none of them old");
        let seen = eventually(&what, Duration::from_secs(180), || async {
            let pods = self.pods(service).await?;
            let lines: Vec<String> = pods.iter().map(line_of_pod).collect();
            ensure!(pods.len() == count, "{lines:#?}");
            ensure!(lines.iter().all(|line| line.ends_with("Ready=True")), "{lines:#?}");
            ensure!(
                !pods.iter().any(|pod| old.iter().any(|uid| pod["metadata"]["uid"] == **uid)),
                "{lines:#?}"
            );
            Ok(pods)
        });
        match seen.await {
            Ok(pods) => Ok(pods),
            Err(error) => bail!("{error:#}\n{}", self.state(service).await),
        }
    }

    /// Where a service is reached from the host: `address:port`.
    ///
    /// # Errors
    /// When it has no Service.
    pub async fn address(&self, service: &str) -> Result<String> {
        let found = self.get("Service", service).await?;
        let ip = found["spec"]["clusterIP"].as_str().context("the Service has no address")?;
        Ok(format!("{ip}:{}", found["spec"]["ports"][0]["port"]))
    }

    /// What the runtime of each of a service's pods answers on its admin port.
    ///
    /// # Errors
    /// When one can't be asked.
    pub async fn runtimes(&self, service: &str, endpoint: &str) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        for pod in self.pods(service).await? {
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/pods/{pod}:14010/proxy/{endpoint}", self.name);
            answers.push(self.kubectl(&["get", "--raw", &path]).await?);
        }
        Ok(answers)
    }

    /// What a person would look at when a service is not as it should be.
    pub async fn state(&self, service: &str) -> String {
        let selector = format!("goodgo.io/service={service}");
        let looks: [&[&str]; 6] = [
            &["get", "goodgoservices,deployments,replicasets,jobs,hpa,pods", "-o", "wide"],
            &["describe", "goodgoservice", service],
            &["describe", "pods", "--selector", &selector],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--selector", &selector, "--all-containers", "--prefix", "--tail=5"],
            &["logs", "--namespace=goodgo-system", "deployment/goodgo-operator", "--tail=15"],
        ];
        let mut state = String::new();
        for look in looks {
            let said = match self.kubectl_says(look, None).await {
                Ok(said) => said.stdout + &said.stderr,
                Err(error) => format!("{error:#}\n"),
            };
            let tail: Vec<&str> = said.lines().rev().take(60).collect();
            state += &format!("$ kubectl {}\n", look.join(" "));
            state.extend(tail.into_iter().rev().flat_map(|line| [line, "\n"]));
        }
        state
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let kubectl = self.platform.cluster.kubectl();
        if let Err(error) =
            kubectl.run(&["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"])
        {
            crate::progress::say(&format!("failed to delete the test's namespace: {error:#}"));
        }
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Namespace").field(&self.name).finish()
    }
}

/// A condition in an object's status.
pub fn condition<'a>(object: &'a Value, of: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == of)
}

/// Whether a condition speaks of the object's current generation.
pub fn is_current(object: &Value, condition: &Value) -> bool {
    condition.get("observedGeneration").is_none_or(|seen| *seen == object["metadata"]["generation"])
}

fn line_of_pod(pod: &Value) -> String {
    let ready = condition(pod, "Ready").and_then(|ready| ready["status"].as_str()).unwrap_or("Unknown");
    let ending = if pod["metadata"].get("deletionTimestamp").is_some() { " ending" } else { "" };
    format!("{}{ending} Ready={ready}", pod["metadata"]["name"].as_str().unwrap_or_default())
}
