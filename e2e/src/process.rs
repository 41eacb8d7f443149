//! Starts parts in the order of their needs, knows when each works, and says why one does not.

use crate::kubectl::Kubectl;
use crate::part::{Part, Program, Ready};
use crate::plan::Plan;
use anyhow::{Context, Result, anyhow, bail};
use kube::config::Config;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How many log lines an error carries.
const LOG_LINES: usize = 15;
/// Time between two looks at a part that is not ready.
const LOOK: Duration = Duration::from_millis(100);

/// Where a part stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Its needs are not ready.
    Waiting,
    /// Started, and not ready for this reason.
    Starting(String),
    /// Works; milliseconds from start to ready.
    Ready(u64),
    /// Ended or never got ready; the text carries its last log lines.
    Failed(String),
}

/// The parts of one cluster while they run. Dropping it ends them.
#[derive(Debug)]
pub struct Running {
    plan: Plan,
    parts: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    part: Part,
    state: State,
    process: Option<Child>,
    began: Instant,
}

impl Running {
    /// Starts all parts, each when its needs are ready, and returns when all are.
    ///
    /// # Errors
    /// The first part that ended or ran out of patience, with its last log lines. All others are ended then.
    pub async fn start(
        plan: &Plan,
        parts: Vec<Part>,
        mut report: impl FnMut(&BTreeMap<String, State>),
    ) -> Result<Self> {
        let mut running = Self {
            plan: plan.clone(),
            parts: parts
                .into_iter()
                .map(|part| Member { part, state: State::Waiting, process: None, began: Instant::now() })
                .collect(),
        };
        let mut before = BTreeMap::new();
        loop {
            let failed = running.turn().await;
            let states = running.states();
            if states != before {
                report(&states);
                before = states;
            }
            if let Some(failed) = failed {
                bail!(failed);
            }
            if running.parts.iter().all(|member| matches!(member.state, State::Ready(_))) {
                return Ok(running);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// One round over all parts; returns the reason when one failed.
    async fn turn(&mut self) -> Option<String> {
        for at in 0..self.parts.len() {
            let ready: Vec<&str> = self
                .parts
                .iter()
                .filter(|member| matches!(member.state, State::Ready(_)))
                .map(|member| member.part.name)
                .collect();
            let Some(member) = self.parts.get(at) else { continue };
            let next = match &member.state {
                State::Waiting if member.part.needs.iter().all(|need| ready.contains(need)) => {
                    self.launch(at)
                }
                State::Starting(_) if member.process.is_none() => self.launch(at),
                State::Starting(_) => {
                    let part = member.part.clone();
                    let began = member.began;
                    let ended = self.parts.get_mut(at).and_then(Member::ended);
                    look(&self.plan, &part, began, ended).await
                }
                other => other.clone(),
            };
            let Some(member) = self.parts.get_mut(at) else { continue };
            member.state = next;
            if let State::Failed(reason) = &member.state {
                return Some(reason.clone());
            }
        }
        None
    }

    /// Applies the part's manifests and starts its program.
    fn launch(&mut self, at: usize) -> State {
        let plan = &self.plan;
        let Some(member) = self.parts.get_mut(at) else { return State::Waiting };
        if member.state == State::Waiting {
            member.began = Instant::now();
        }
        if let Some(manifests) = &member.part.manifests
            && let Err(error) = Kubectl::new(&plan.admin_kubeconfig()).apply(manifests)
        {
            // The server makes its own namespaces a moment after it is ready.
            let reason = format!("{error:#}");
            return too_late(plan, &member.part, member.began, &reason).unwrap_or(State::Starting(reason));
        }
        match spawn(plan, &member.part) {
            Ok(process) => {
                member.process = Some(process);
                State::Starting("started".to_owned())
            }
            Err(error) => State::Failed(format!("{error:#}")),
        }
    }

    /// Looks whether a part ended since it became ready.
    pub fn check(&mut self) -> Option<String> {
        let plan = &self.plan;
        self.parts.iter_mut().find_map(|member| {
            if !matches!(member.state, State::Ready(_)) {
                return None;
            }
            let status = member.ended()?;
            let reason = ended(plan, &member.part, &status);
            member.state = State::Failed(reason.clone());
            Some(reason)
        })
    }

    /// Where each part stands.
    pub fn states(&self) -> BTreeMap<String, State> {
        self.parts.iter().map(|member| (member.part.name.to_owned(), member.state.clone())).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for member in self.parts.iter_mut().rev() {
            if let Some(process) = &mut member.process {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

impl Member {
    fn ended(&mut self) -> Option<String> {
        self.process.as_mut()?.try_wait().ok()?.map(|status| status.to_string())
    }
}

async fn look(plan: &Plan, part: &Part, began: Instant, ended_with: Option<String>) -> State {
    if let Some(status) = ended_with {
        return State::Failed(ended(plan, part, &status));
    }
    match is_ready(plan, &part.ready).await {
        Ok(()) => State::Ready(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
        Err(error) => {
            let reason = format!("{error:#}");
            too_late(plan, part, began, &reason).unwrap_or(State::Starting(reason))
        }
    }
}

fn too_late(plan: &Plan, part: &Part, began: Instant, reason: &str) -> Option<State> {
    let (name, patience) = (part.name, part.patience);
    (began.elapsed() > patience).then(|| {
        let log = last_lines(&plan.log(name));
        State::Failed(format!("{name} is not ready after {} s: {reason}\n{log}", patience.as_secs()))
    })
}

fn ended(plan: &Plan, part: &Part, status: &str) -> String {
    format!("{} ended ({status})\n{}", part.name, last_lines(&plan.log(part.name)))
}

async fn is_ready(plan: &Plan, ready: &Ready) -> Result<()> {
    match ready {
        Ready::AtOnce => Ok(()),
        Ready::Socket(path) => {
            UnixStream::connect(path).map(drop).with_context(|| format!("{}", path.display()))
        }
        Ready::Url(url) => {
            let url: http::Uri = url.parse()?;
            get(Config::new(url.clone()), url.path()).await
        }
        Ready::Api(path) => get(plan.client_config().await?, path).await,
        Ready::Condition { object, condition } => {
            let path = format!(
                "{{range .status.conditions[?(@.type==\"{condition}\")]}}{{.status}} {{.message}}{{end}}"
            );
            let said = Kubectl::new(&plan.admin_kubeconfig()).run(&[
                "get",
                object,
                "-o",
                &format!("jsonpath={path}"),
            ])?;
            if said.starts_with("True") { Ok(()) } else { Err(anyhow!("{object} {condition}: {said}")) }
        }
    }
}

async fn get(mut config: Config, path: &str) -> Result<()> {
    config.accept_invalid_certs = true;
    // The client puts its own path before the request's.
    let mut address = config.cluster_url.into_parts();
    address.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    config.cluster_url = http::Uri::from_parts(address)?;
    config.connect_timeout = Some(Duration::from_secs(1));
    config.read_timeout = Some(Duration::from_secs(3));
    let client = kube::Client::try_from(config)?;
    client.request_text(http::Request::get(path).body(Vec::new())?).await?;
    Ok(())
}

fn spawn(plan: &Plan, part: &Part) -> Result<Child> {
    let log = plan.log(part.name);
    paths_ready(&log)?;
    let out = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
    let program = match &part.program {
        Program::Tool(tool) => tool.path()?,
        Program::Host(name) => PathBuf::from(name),
        Program::File(path) => path.clone(),
    };
    // The death signal ends the part when the process that started it is killed and can't.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(&program)
        .args(&part.args)
        .current_dir(&plan.dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &plan.dir)
        .envs(part.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(out.try_clone().context("failed to share the log")?)
        .stderr(out);
    spawn_for_life(command).with_context(|| format!("failed to start {}", part.name))
}

fn paths_ready(log: &Path) -> Result<()> {
    let folder = log.parent().context("failed to find the log's folder")?;
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// Spawns from one thread that lives as long as the process: the death signal fires when the
/// *thread* that forked ends, and a test's thread ends long before the process does.
pub(crate) fn spawn_for_life(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, incoming) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in incoming {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, spawned) = channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| anyhow!("failed to reach the spawning thread"))?;
    Ok(spawned.recv().context("failed to hear from the spawning thread")??)
}

/// The end of a log, as far as a person wants to read it.
pub fn last_lines(log: &Path) -> String {
    let tail = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let Ok(text) = tail() else { return format!("  (no log at {})", log.display()) };
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
    let mut said = format!("  last lines of {}:", log.display());
    for line in shown {
        said.push_str("\n  | ");
        said.extend(line.chars().take(400));
    }
    said
}

#[cfg(test)]
mod tests;
