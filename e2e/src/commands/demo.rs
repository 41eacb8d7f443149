//! `goodgo-dev demo`: from nothing to the answer of a real call through two services.

use super::up::{Name, Settings};
use anyhow::{Context, Result, bail};
use goodgo_e2e::cluster::{Cluster, down_command};
use goodgo_e2e::https::Https;
use goodgo_e2e::kubectl::Kubectl;
use goodgo_e2e::plan::Nodes;
use goodgo_e2e::product::Images;
use goodgo_e2e::progress::{Step, say};
use goodgo_e2e::workload::chain;
use goodgo_e2e::{host, http, pki, product};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;

/// Where the examples live.
const NAMESPACE: &str = "shop";
/// What reaches a cluster that is not ours, and where it comes from.
const OWN_PROGRAMS: [(&str, &str); 2] =
    [("kubectl", "https://kubernetes.io/docs/tasks/tools"), ("helm", "https://helm.sh/docs/intro/install")];
/// Where the gateway serves user-service, and the Secret that has the certificate for it.
const HOST: &str = "api.goodgo.localhost";
const CERTIFICATE: &str = "api-goodgo-localhost";
/// What a service says that would be reached from outside, where there is no gateway.
const NO_GATEWAY: &str = "GatewayMissing";
/// Longest time without a service becoming ready.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    cluster: Settings,
    /// Use the current kubectl context and build no parts; it must be able to get the images
    /// goodgo/operator, goodgo/runtime and goodgo/demo of this version
    #[arg(long)]
    current: bool,
}

pub(crate) async fn demo(arguments: &Arguments) -> Result<()> {
    if arguments.current {
        check_own_programs(host::has)?;
        let kubectl = Kubectl::current();
        say(&format!("using the current context: {}", kubectl.run(&["config", "current-context"])?.trim()));
        let images = Images::released();
        product::install_with(&kubectl, &images, &[])?;
        apply_examples(&kubectl, &images.demo)?;
        wait_until_ready(&kubectl).await?;
        show(&kubectl)?;
        call_through_a_tunnel(&kubectl).await?;
        println!("{}", farewell_to_the_current());
        return Ok(());
    }
    let name = &arguments.name.name;
    let mut wanted = arguments.cluster.wanted()?;
    if wanted.nodes == Nodes::Simulated {
        wanted.options.operator = Some(product::compile_operator()?);
        let cluster = Cluster::up(name, wanted).await?;
        let kubectl = cluster.kubectl();
        apply_examples(&kubectl, &Images::released().demo)?;
        wait_until_ready(&kubectl).await?;
        show(&kubectl)?;
        println!(
            "\nNodes are simulated: the operator is a process of this machine, no pod runs, and no call was made."
        );
        return farewell(&cluster, name);
    }
    let cluster = Cluster::up(name, wanted).await?;
    let kubectl = cluster.kubectl();
    let images = product::deliver(&cluster)?;
    product::install(&cluster, &images, &[])?;
    apply_examples(&kubectl, &images.demo)?;
    let certificate = make_certificate(&kubectl)?;
    wait_until_ready(&kubectl).await?;
    show(&kubectl)?;
    call(&kubectl).await?;
    measure(&kubectl).await?;
    call_from_outside(&kubectl, &certificate).await?;
    farewell(&cluster, name)
}

/// A cluster that is not ours is reached with its user's programs, not with the pinned ones.
fn check_own_programs(has: impl Fn(&str) -> bool) -> Result<()> {
    let missing: Vec<String> = OWN_PROGRAMS
        .into_iter()
        .filter(|(program, _)| !has(program))
        .map(|(program, from)| format!("\n  {program} is missing on PATH\n  get it: {from}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("failed to find what the current cluster is reached with:{}", missing.concat());
}

fn apply_examples(kubectl: &Kubectl, image: &str) -> Result<()> {
    kubectl.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"))?;
    kubectl.apply_over(NAMESPACE, &product::examples(image)?).map(drop)
}

fn show(kubectl: &Kubectl) -> Result<()> {
    println!("\n$ kubectl get goodgoservices -n {NAMESPACE}");
    print!("{}", kubectl.run(&["get", "goodgoservices", "-n", NAMESPACE])?);
    Ok(())
}

async fn wait_until_ready(kubectl: &Kubectl) -> Result<()> {
    let step = Step::begin("waiting for the services", None);
    loop {
        let list = kubectl.run(&["get", "goodgoservices", "-n", NAMESPACE, "-o", "json"])?;
        let list: Value = serde_json::from_str(&list).context("failed to read the services")?;
        let services = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let waiting: Vec<(String, String)> = services.iter().filter_map(why_not_ready).collect();
        if waiting.is_empty() && !services.is_empty() {
            step.done(&format!("{} ready", services.len()));
            return Ok(());
        }
        let (ready, all) = (services.len() - waiting.len(), services.len());
        step.advance(ready as u64, Some(all as u64), &format!("waiting for {}", summed_up(&waiting)));
        if step.elapsed() > PATIENCE {
            step.failed();
            let pods = kubectl.run(&["get", "pods", "-n", NAMESPACE])?;
            let waiting: Vec<_> = waiting.iter().map(|(name, why)| format!("{name} ({why})")).collect();
            bail!("failed to see all services ready:\n  {}\n{pods}", waiting.join("\n  "));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Who waits, and why: a reason that several have in common is said once.
fn summed_up(waiting: &[(String, String)]) -> String {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, why) in waiting {
        by_reason.entry(why).or_default().push(name);
    }
    let groups = by_reason.iter().map(|(why, names)| format!("{} ({why})", names.join(", ")));
    groups.collect::<Vec<_>>().join("; ")
}

/// The service's name and what its Ready condition says, unless it is ready.
fn why_not_ready(service: &Value) -> Option<(String, String)> {
    let name = service.pointer("/metadata/name")?.as_str()?;
    let conditions = service.pointer("/status/conditions").and_then(Value::as_array);
    let ready =
        conditions.into_iter().flatten().find(|condition| condition.get("type") == Some(&"Ready".into()));
    let Some(ready) = ready else { return Some((name.to_owned(), "no status".to_owned())) };
    if ready.get("reason") == Some(&NO_GATEWAY.into()) {
        return None; // all else is done, and no gateway will come
    }
    let current = ready
        .get("observedGeneration")
        .is_none_or(|seen| Some(seen) == service.pointer("/metadata/generation"));
    let text = |field: &str| ready.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("status") != "True" || !current)
        .then(|| (name.to_owned(), format!("{}: {}", text("reason"), text("message"))))
}

/// Calls user-service from this machine, through its Service's address.
async fn call(kubectl: &Kubectl) -> Result<()> {
    let url = format!("http://{}/users/123", address(kubectl, "user-service")?);
    get(&url).await
}

/// Where a service is reached from this machine: `address:port`.
fn address(kubectl: &Kubectl, service: &str) -> Result<String> {
    let path = "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}";
    kubectl.run(&["get", "service", service, "-n", NAMESPACE, "-o", path])
}

/// Makes a certificate for the host that user-service declares, and puts it where its manifest says that one is.
fn make_certificate(kubectl: &Kubectl) -> Result<String> {
    let (certificate, key) = pki::for_host(HOST)?;
    let data = serde_json::json!({"tls.crt": certificate, "tls.key": key});
    let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": CERTIFICATE, "namespace": NAMESPACE}, "stringData": data});
    kubectl.apply(&secret.to_string())?;
    Ok(certificate)
}

/// Calls user-service as the world does: by its public name, through the gateway, which removes the prefix.
async fn call_from_outside(kubectl: &Kubectl, certificate: &str) -> Result<()> {
    let path = "jsonpath={.spec.clusterIP}:443";
    let address = kubectl.run(&["get", "service", "goodgo-gateway", "-n", product::NAMESPACE, "-o", path])?;
    let address: SocketAddr =
        address.parse().with_context(|| format!("failed to read the address {address}"))?;
    println!(
        "\n$ curl --insecure --resolve {HOST}:443:{ip} https://{HOST}/api/v1/users/123     # through the gateway",
        ip = address.ip()
    );
    let host = Https::new(address, HOST, certificate)?;
    // A route is live within a second; the certificate comes by another watch.
    let step = Step::begin("waiting for the route", None);
    loop {
        let last = host.get("/api/v1/users/123").await;
        match last {
            Ok(answer) if answer.status == 200 => {
                step.done("served");
                println!("{} {}", answer.status, answer.body);
                return Ok(());
            }
            _ if step.elapsed() < PATIENCE / 6 => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(answer) => bail!("failed to get user 123: {HOST} answered {} {}", answer.status, answer.body),
            Err(error) => return Err(error.context("failed to get user 123 through the gateway")),
        }
    }
}

/// Says how long an order takes, which needs three services one after another.
async fn measure(kubectl: &Kubectl) -> Result<()> {
    const ORDERS: usize = 300;
    let times = chain::measure(&address(kubectl, "order-service")?, ORDERS).await?;
    println!("\n{}", chain::described(&times));
    Ok(())
}

/// Shows the demo's key, as callers without a runtime do; user-service shows iam-service a token.
async fn get(url: &str) -> Result<()> {
    println!(
        "\n$ curl -H '{}: {}' {url}     # user-service asks iam-service, through both runtimes",
        http::KEY_HEADER,
        http::KEY
    );
    let (status, body) = http::get(url, Duration::from_secs(10)).await?;
    println!("{status} {body}");
    if status != 200 {
        bail!("failed to get user 123: {url} answered {status}");
    }
    Ok(())
}

/// The same where Service addresses can't be reached from here.
async fn call_through_a_tunnel(kubectl: &Kubectl) -> Result<()> {
    const PORT: u16 = 13002;
    let args = ["port-forward", "-n", NAMESPACE, "service/user-service", &format!("{PORT}:3002")];
    println!("\n$ kubectl {}", args.join(" "));
    let mut tunnel =
        kubectl.command()?.args(args).stdout(Stdio::null()).spawn().context("failed to run kubectl")?;
    let mut called = Err(anyhow::anyhow!("failed to open the tunnel"));
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if TcpStream::connect(("127.0.0.1", PORT)).await.is_ok() {
            called = get(&format!("http://127.0.0.1:{PORT}/users/123")).await;
            break;
        }
    }
    // Ended already, most likely because the port is taken: its own words said so.
    let _ = tunnel.kill();
    let _ = tunnel.wait();
    called
}

fn farewell(cluster: &Cluster, name: &str) -> Result<()> {
    println!(
        "
The cluster stays up. To use it:
  export KUBECONFIG={}
  export PATH={}:$PATH

Try:
  kubectl delete deployment user-service -n {NAMESPACE}; kubectl get deployments -n {NAMESPACE} -w     # it comes back
  kubectl describe goodgoservice user-service -n {NAMESPACE}                               # what it is and why
  kubectl explain goodgoservice.spec.calls                                           # the API teaches itself

When done: {}",
        cluster.kubeconfig().display(),
        super::parts::folder()?.display(),
        down_command(name),
    );
    Ok(())
}

/// Nobody else ends what was put into a cluster that is not ours.
fn farewell_to_the_current() -> String {
    format!(
        "
To remove everything from this cluster again:
  kubectl delete namespace {NAMESPACE}
  helm uninstall goodgo-operator -n {operator} --wait
  kubectl delete namespace {operator}
  kubectl delete crd goodgoservices.goodgo.io     # helm keeps it, because every GoodGoService goes with it",
        operator = product::NAMESPACE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_programs_of_the_user_are_named_at_once() {
        check_own_programs(|_| true).unwrap();
        let without = |missing: &'static [&str]| {
            check_own_programs(|program| !missing.contains(&program)).unwrap_err().to_string()
        };
        assert!(!without(&["helm"]).contains("kubectl"));
        let both = without(&["helm", "kubectl"]);
        assert!(both.contains("helm is missing") && both.contains("kubectl is missing"), "{both}");
    }

    #[test]
    fn the_way_back_names_what_the_demo_made() {
        let said = farewell_to_the_current();
        for made in [
            &format!("namespace {NAMESPACE}\n"),
            "namespace goodgo-system\n",
            "crd goodgoservices.goodgo.io ",
        ] {
            assert!(said.contains(made), "{made}: {said}");
        }
    }
}
