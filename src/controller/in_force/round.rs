//! One round: every ready pod is asked, nudged where it runs something else, and asked until it follows or time is up.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;
use tracing::debug;

use super::pods::{self, Pod};
use super::runtime::Runs;
use super::{Shared, Verdict, Wanted};

/// Pods of one service that are asked at once.
const PODS: usize = 16;
/// How long a pod is asked in one round: it follows within a second or so.
const LONGEST: Duration = Duration::from_secs(10);
/// A kubelet that synced the pod just before it learnt of the change needs another nudge.
const NUDGE_AGAIN: Duration = Duration::from_secs(3);
/// Pause between two questions; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// Questions in a row without an answer after which a pod counts as unreachable.
const SILENT: u32 = 2;

/// Asks all pods, which are listed in the first round alone.
pub(super) async fn round(
    shared: &Shared,
    wanted: &Wanted,
    listed: &mut Option<Vec<Pod>>,
    changed: bool,
) -> Verdict {
    let pods = match listed.take() {
        Some(pods) => pods,
        None => match pods::ready(&shared.client, &wanted.service).await {
            Ok(pods) => pods,
            Err(error) => {
                debug!(%error, service = %wanted.service, "failed to list the pods");
                return Verdict::Propagating; // the next round lists again
            }
        },
    };
    let asked: Vec<(Pod, Runs)> = futures::stream::iter(pods)
        .map(|pod| bring(shared, wanted, pod, changed))
        .buffer_unordered(PODS)
        .collect()
        .await;
    let verdict = verdict(&asked);
    *listed = Some(asked.into_iter().map(|(pod, _)| pod).collect());
    verdict
}

/// Brings one pod to the wanted revision, as far as that can be done in a round.
async fn bring(shared: &Shared, wanted: &Wanted, mut pod: Pod, changed: bool) -> (Pod, Runs) {
    let (began, mut silent, mut pause) = (Instant::now(), 0, FIRST_PAUSE);
    let mut nudge_at = Duration::ZERO;
    loop {
        let runs = shared.runtimes.ask(pod.ip, &wanted.service, &wanted.revision).await;
        silent = if runs == Runs::Silent { silent + 1 } else { 0 };
        if runs == Runs::It {
            return (pod, runs);
        }
        let blind = runs == Runs::Silent && (!changed || was_nudged(&pod, &wanted.revision));
        if !blind && began.elapsed() >= nudge_at {
            nudge(shared, wanted, &mut pod).await;
            nudge_at += NUDGE_AGAIN;
        }
        if silent >= SILENT || began.elapsed() + pause > LONGEST {
            return (pod, runs);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn nudge(shared: &Shared, wanted: &Wanted, pod: &mut Pod) {
    let with = next_nudge(pod.nudged.as_deref(), &wanted.revision);
    match pods::nudge(&shared.client, &wanted.service, &pod.name, &with).await {
        Ok(()) => {
            shared.metrics.pod_nudged();
            pod.nudged = Some(with);
        }
        // Gone, most likely. The file follows by itself, later.
        Err(error) => debug!(%error, pod = pod.name, "failed to nudge a pod"),
    }
}

fn was_nudged(pod: &Pod, revision: &str) -> bool {
    pod.nudged.as_ref().is_some_and(|nudged| nudged.split('-').next() == Some(revision))
}

/// The revision, and where that stands already, the revision with a number: only a change is a nudge.
fn next_nudge(before: Option<&str>, revision: &str) -> String {
    let Some(rest) = before.and_then(|before| before.strip_prefix(revision)) else {
        return revision.to_owned();
    };
    let number = rest.strip_prefix('-').and_then(|number| number.parse::<u32>().ok()).unwrap_or(1);
    format!("{revision}-{}", number.wrapping_add(1))
}

/// What holds a service back comes first: a refusal, then who can't be asked, then who is on the way.
fn verdict(asked: &[(Pod, Runs)]) -> Verdict {
    let mut found = if asked.is_empty() { Verdict::NoReadyPods } else { Verdict::InForce };
    for (pod, runs) in asked {
        match runs {
            Runs::Refuses(message) => {
                return Verdict::Refused { pod: pod.name.clone(), message: message.clone() };
            }
            Runs::Silent if !matches!(found, Verdict::Unreachable { .. }) => {
                found = Verdict::Unreachable { pod: pod.name.clone() };
            }
            Runs::Another if found == Verdict::InForce => found = Verdict::Propagating,
            Runs::It | Runs::Another | Runs::Silent => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Pod {
        Pod { name: name.to_owned(), ip: [10, 0, 0, 1].into(), nudged: None }
    }

    #[test]
    fn the_worst_pod_decides() {
        let said = |runs: &[Runs]| {
            let asked: Vec<_> = runs
                .iter()
                .enumerate()
                .map(|(index, runs)| (pod(&index.to_string()), runs.clone()))
                .collect();
            verdict(&asked)
        };
        assert_eq!(said(&[]), Verdict::NoReadyPods);
        assert_eq!(said(&[Runs::It, Runs::It]), Verdict::InForce);
        assert_eq!(said(&[Runs::It, Runs::Another]), Verdict::Propagating);
        assert_eq!(
            said(&[Runs::Another, Runs::Silent, Runs::Silent]),
            Verdict::Unreachable { pod: "1".into() }
        );
        let refused = Verdict::Refused { pod: "1".into(), message: "no".into() };
        assert_eq!(said(&[Runs::Silent, Runs::Refuses("no".into())]), refused);
    }

    #[test]
    fn every_nudge_is_a_change() {
        assert_eq!(next_nudge(None, "2b"), "2b");
        assert_eq!(next_nudge(Some("1a"), "2b"), "2b");
        assert_eq!(next_nudge(Some("2b"), "2b"), "2b-2");
        assert_eq!(next_nudge(Some("2b-2"), "2b"), "2b-3");
        assert!(was_nudged(&Pod { nudged: Some("2b-3".into()), ..pod("a") }, "2b"));
        assert!(!was_nudged(&Pod { nudged: Some("1a".into()), ..pod("a") }, "2b"));
    }
}
