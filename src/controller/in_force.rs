//! Whether the pods run the configuration that was applied for them.
//!
//! A changed ConfigMap reaches a mounted file within a minute or two by itself. To have it there within a second, each pod
//! is nudged: an annotation that changes makes the kubelet sync the pod, and with it the file. Then each runtime is asked
//! which revision it runs. That takes a task per service, outside of every reconcile: a pod that doesn't answer holds
//! nobody. A newer revision replaces the task of an older one, and the end of a task queues its service, whose reconcile
//! writes the condition.
//!
//! Nothing is asked twice. Pods that start later mount what the API server has, so a service that is in force stays so
//! whatever its pods do; pods are listed once for each change of the configuration, and once more when a rollout ended
//! while they were not yet in force. After a failover the status tells for which revision all was well.

mod pods;
mod round;
mod runtime;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use goodgo_api::conditions::{ConditionStatus, ConditionType};
use goodgo_api::{GoodGoService, GoodGoServiceStatus};
use goodgo_fleet::ServiceKey;
use goodgo_render::ChildKind;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::child::Rollout;
use super::children::{Applied, Children};
use super::dereference::Input;
use super::{Context, report};
use crate::metrics::Metrics;

/// Services whose pods are asked at once.
const ROUNDS: usize = 32;
/// Pause before pods that were not in force at the end of a round are asked again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What was found out about the pods of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody was asked yet for this revision by this process: what was said of it before still counts.
    Unasked,
    /// There is nobody to ask; who starts reads the current configuration.
    NoReadyPods,
    /// Not every pod has it yet.
    Propagating,
    /// A runtime does not take it.
    Refused {
        /// The pod's name.
        pod: String,
        /// What the runtime says.
        message: String,
    },
    /// A pod can't be asked.
    Unreachable {
        /// The pod's name.
        pod: String,
    },
    /// Every ready pod runs it.
    InForce,
}

/// What the pods of a service should run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    service: ServiceKey,
    uid: Box<str>,
    revision: String,
}

struct Entry {
    wanted: Wanted,
    verdict: Verdict,
    /// The Deployment as it was seen last.
    rollout: Option<Rollout>,
    /// Whether pods came or went since they were listed.
    moved: bool,
    _task: Option<AbortOnDropHandle<()>>,
}

/// What is known of all services' pods, and the tasks that find it out.
pub struct InForce(Arc<Shared>);

struct Shared {
    client: Client,
    runtimes: runtime::Runtimes,
    rounds: Semaphore,
    metrics: Metrics,
    queue: UnboundedSender<ObjectRef<GoodGoService>>,
    services: Mutex<HashMap<ServiceKey, Entry>>,
}

impl Drop for InForce {
    /// Ends the tasks, which hold what they work with.
    fn drop(&mut self) {
        self.0.services().clear();
    }
}

/// Has the pods of a service follow what was just applied; returns at once.
pub fn follow(children: &Children<Applied>, input: &Input, context: &Context) {
    let Some(revision) = &children.config_revision else {
        return context.in_force.forget(&input.service.key);
    };
    let Applied { conflicts, leaving, .. } = &children.state;
    if conflicts.iter().chain(leaving).any(|key| key.kind == ChildKind::ConfigMap) {
        return; // the pods' file is somebody else's
    }
    let wanted = Wanted {
        service: input.service.key.clone(),
        uid: input.service.uid.clone(),
        revision: revision.clone(),
    };
    let status = context.status(&input.service.key, &input.object);
    let rollout = report::rollout(&input.service, &input.service.key.name, context);
    context.in_force.follow(wanted, rollout, &status);
}

impl InForce {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(client: Client, metrics: Metrics, queue: UnboundedSender<ObjectRef<GoodGoService>>) -> Self {
        let (rounds, runtimes) = (Semaphore::new(ROUNDS), runtime::Runtimes::default());
        Self(Arc::new(Shared { client, runtimes, rounds, metrics, queue, services: Mutex::default() }))
    }

    /// What was found out so far, with the revision that it speaks of.
    #[must_use]
    pub fn verdict(&self, service: &ServiceKey, uid: &str) -> Option<(Verdict, String)> {
        let services = self.0.services();
        let entry = services.get(service).filter(|entry| *entry.wanted.uid == *uid)?;
        Some((entry.verdict.clone(), entry.wanted.revision.clone()))
    }

    /// Forgets a service and ends its task.
    pub fn forget(&self, service: &ServiceKey) {
        self.0.services().remove(service);
    }

    fn follow(&self, wanted: Wanted, rollout: Option<Rollout>, status: &GoodGoServiceStatus) {
        let mut services = self.0.services();
        let key = wanted.service.clone();
        match services.get_mut(&key) {
            Some(entry) if entry.wanted == wanted => {
                entry.moved |= entry.rollout != rollout;
                entry.rollout = rollout;
                let settled = entry.rollout.as_ref().is_some_and(Rollout::is_complete);
                if entry.moved && settled && entry.verdict != Verdict::InForce && has_ready(&entry.rollout) {
                    entry.moved = false;
                    entry._task = Some(self.0.start(wanted, false));
                }
            }
            before => {
                let earlier = status.config_revision.as_ref().is_some_and(|said| *said != wanted.revision);
                let changed = before.is_some() || earlier;
                let (verdict, task) = if was_in_force(status, &wanted.revision) {
                    (Verdict::InForce, None)
                } else if has_ready(&rollout) {
                    (Verdict::Unasked, Some(self.0.start(wanted.clone(), changed)))
                } else {
                    (Verdict::NoReadyPods, None)
                };
                let entry = Entry { wanted, verdict, rollout, moved: false, _task: task };
                services.insert(key, entry);
            }
        }
    }
}

fn has_ready(rollout: &Option<Rollout>) -> bool {
    rollout.as_ref().is_some_and(|rollout| rollout.ready > 0)
}

/// Whether a leader before us saw this revision in force.
fn was_in_force(status: &GoodGoServiceStatus, revision: &str) -> bool {
    let condition =
        |type_: ConditionType| status.conditions.iter().find(|condition| condition.type_ == type_.as_str());
    status.config_revision.as_deref() == Some(revision)
        && condition(ConditionType::InForce).is_some_and(|found| found.status == ConditionStatus::True)
}

impl Shared {
    fn services(&self) -> MutexGuard<'_, HashMap<ServiceKey, Entry>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `changed`: pods may run an earlier revision, so those that can't be asked are nudged too.
    fn start(self: &Arc<Self>, wanted: Wanted, changed: bool) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(self.clone().pursue(wanted, changed)))
    }

    /// Asks until all is in force, with growing pauses. Pods are listed once: when others take their places, the
    /// Deployment tells, and a new task begins.
    async fn pursue(self: Arc<Self>, wanted: Wanted, changed: bool) {
        let (began, mut listed, mut pause) = (Instant::now(), None, FIRST_PAUSE);
        loop {
            let verdict = {
                let Ok(_permit) = self.rounds.acquire().await else { return };
                round::round(&self, &wanted, &mut listed, changed).await
            };
            let end = matches!(verdict, Verdict::InForce | Verdict::NoReadyPods);
            if verdict == Verdict::InForce {
                self.metrics.in_force(began.elapsed());
            }
            self.settle(&wanted, verdict);
            if end {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Remembers a verdict, and queues the service when it is news.
    fn settle(&self, wanted: &Wanted, verdict: Verdict) {
        let mut services = self.services();
        let Some(entry) = services.get_mut(&wanted.service).filter(|entry| entry.wanted == *wanted) else {
            return;
        };
        if entry.verdict != verdict {
            entry.verdict = verdict;
            let ServiceKey { namespace, name } = &wanted.service;
            // Nobody receives any more only while the process ends.
            let _ = self.queue.unbounded_send(ObjectRef::new(name).within(namespace));
        }
    }
}

#[cfg(test)]
mod tests;
