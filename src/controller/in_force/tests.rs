use goodgo_api::conditions::Condition;

use super::*;

fn in_force() -> InForce {
    // Nobody listens there: pods can't be listed, and what was started stays under way.
    let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    InForce::new(client, Metrics::default(), futures::channel::mpsc::unbounded().0)
}

fn wanted(revision: &str) -> Wanted {
    Wanted { service: ServiceKey::new("shop", "a"), uid: "u".into(), revision: revision.to_owned() }
}

fn rollout(ready: i32) -> Option<Rollout> {
    let (desired, current, updated, available) = (2, 2, 2, ready);
    Some(Rollout { desired, current, updated, ready, available, ..Rollout::default() })
}

/// A status that says that `revision` was in force, or that it was not.
fn status(revision: &str, now: ConditionStatus) -> GoodGoServiceStatus {
    let condition = Condition {
        type_: ConditionType::InForce.as_str().to_owned(),
        status: now,
        reason: String::new(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: String::new(),
    };
    GoodGoServiceStatus {
        conditions: vec![condition],
        config_revision: Some(revision.to_owned()),
        ..GoodGoServiceStatus::default()
    }
}

/// The verdict, and whether a task is about.
fn known(all: &InForce) -> (Verdict, bool) {
    let services = all.0.services();
    let entry = &services[&ServiceKey::new("shop", "a")];
    (entry.verdict.clone(), entry._task.is_some())
}

#[tokio::test]
async fn what_a_leader_before_us_saw_is_not_asked_again() {
    let all = in_force();
    all.follow(wanted("2b"), rollout(2), &status("2b", ConditionStatus::True));
    assert_eq!(known(&all), (Verdict::InForce, false));
    all.follow(wanted("2b"), rollout(1), &status("2b", ConditionStatus::True));
    all.follow(wanted("2b"), rollout(2), &status("2b", ConditionStatus::True));
    assert_eq!(known(&all), (Verdict::InForce, false), "pods that come mount what is there");
    for before in [status("1a", ConditionStatus::True), status("2b", ConditionStatus::False)] {
        let all = in_force();
        all.follow(wanted("2b"), rollout(2), &before);
        assert_eq!(known(&all), (Verdict::Unasked, true));
    }
}

#[tokio::test]
async fn nobody_is_asked_before_a_pod_is_ready() {
    let (all, new) = (in_force(), GoodGoServiceStatus::default());
    all.follow(wanted("2b"), None, &new);
    all.follow(wanted("2b"), rollout(0), &new);
    all.follow(wanted("2b"), rollout(1), &new);
    assert_eq!(known(&all), (Verdict::NoReadyPods, false), "the rollout is not at its end");
    all.follow(wanted("2b"), rollout(2), &new);
    assert!(known(&all).1, "now it is");
}

#[tokio::test]
async fn the_newest_revision_and_the_newest_object_win() {
    let (all, new) = (in_force(), GoodGoServiceStatus::default());
    all.follow(wanted("1a"), rollout(2), &new);
    all.0.settle(&wanted("1a"), Verdict::InForce);
    assert_eq!(known(&all).0, Verdict::InForce);
    all.follow(wanted("2b"), rollout(2), &status("1a", ConditionStatus::True));
    all.0.settle(&wanted("1a"), Verdict::InForce);
    assert_eq!(known(&all), (Verdict::Unasked, true), "the end of an older task means nothing");
    let key = ServiceKey::new("shop", "a");
    assert_eq!(all.verdict(&key, "u"), Some((Verdict::Unasked, "2b".to_owned())));
    assert_eq!(all.verdict(&key, "recreated"), None);
    all.forget(&key);
    assert_eq!(all.verdict(&key, "u"), None);
}
