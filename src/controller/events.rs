//! Events: what `kubectl describe` tells of changes. One per change of a condition that matters, none while nothing changes.

use goodgo_api::conditions::{Condition, ConditionStatus, ConditionType};
use goodgo_api::{GoodGoService, GoodGoServiceStatus};
use kube::Resource;
use kube::runtime::events::{Event, EventType};
use tracing::debug;

use super::Context;
use super::status::REFUSED;

/// The API allows 1,024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Publishes what changed between two statuses. A failure is logged and nothing more: Events are a courtesy.
pub(super) async fn publish_changes(
    object: &GoodGoService,
    before: &GoodGoServiceStatus,
    after: &GoodGoServiceStatus,
    context: &Context,
) {
    for event in changes(before, after) {
        if let Err(error) = context.recorder.publish(&event, &object.object_ref(&())).await {
            debug!(%error, reason = event.reason, "failed to publish an event");
        }
    }
}

/// Ready carries the reason of whatever holds it back; the others and refused callers don't show in it.
fn changes(before: &GoodGoServiceStatus, after: &GoodGoServiceStatus) -> Vec<Event> {
    [ConditionType::Ready, ConditionType::Contended, ConditionType::Suspended]
        .into_iter()
        .filter_map(|type_| {
            let (before, after) = (find(before, type_), find(after, type_)?);
            is_news(before, after).then(|| event(after))
        })
        .chain(refused_callers(before, after))
        .collect()
}

/// Whom the service doesn't accept, when that is news.
fn refused_callers(before: &GoodGoServiceStatus, after: &GoodGoServiceStatus) -> Option<Event> {
    fn refused(status: &GoodGoServiceStatus) -> Option<&str> {
        let message = &find(status, ConditionType::CallsResolved)?.message;
        message.find(REFUSED).and_then(|at| message.get(at..))
    }
    let now = refused(after).filter(|now| refused(before) != Some(now))?;
    Some(Event {
        type_: EventType::Warning,
        reason: "CallerRefused".to_owned(),
        note: Some(cut(now)),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

fn find(status: &GoodGoServiceStatus, type_: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Progress changes its message with every pod; a fault with a new message is a new fault.
fn is_news(before: Option<&Condition>, after: &Condition) -> bool {
    before.is_none_or(|before| {
        let fault = event_type(after) == EventType::Warning && before.message != after.message;
        before.status != after.status || before.reason != after.reason || fault
    })
}

fn event(condition: &Condition) -> Event {
    Event {
        type_: event_type(condition),
        reason: condition.reason.clone(),
        note: Some(cut(&condition.message)),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

fn cut(note: &str) -> String {
    note.char_indices().take_while(|(at, _)| *at < LONGEST_NOTE).map(|(_, char)| char).collect()
}

fn event_type(condition: &Condition) -> EventType {
    const ON_ITS_WAY: [&str; 5] = ["RollingOut", "NoDeployment", "Unavailable", "Migrating", "Recreating"];
    let fault = match condition.status {
        ConditionStatus::True => condition.type_ == ConditionType::Contended.as_str(),
        ConditionStatus::False => !ON_ITS_WAY.contains(&condition.reason.as_str()),
        ConditionStatus::Unknown => false,
    };
    if fault { EventType::Warning } else { EventType::Normal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(
        type_: ConditionType,
        status: ConditionStatus,
        reason: &str,
        message: &str,
    ) -> GoodGoServiceStatus {
        let condition = Condition {
            type_: type_.as_str().to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: None,
            last_transition_time: String::new(),
        };
        GoodGoServiceStatus { conditions: vec![condition], ..GoodGoServiceStatus::default() }
    }

    #[test]
    fn progress_is_told_once_and_a_new_fault_each_time() {
        use ConditionStatus::{False, True};
        use ConditionType::Ready;
        let steps = [
            (status(Ready, False, "Unavailable", "0 of 3"), 1),
            (status(Ready, False, "Unavailable", "1 of 3"), 0),
            (status(Ready, True, "Ready", "3 of 3"), 1),
            (status(Ready, True, "Ready", "4 of 4"), 0),
            (status(Ready, False, "ChildConflict", "Service a"), 1),
            (status(Ready, False, "ChildConflict", "Service a, ConfigMap b"), 1),
            (status(Ready, False, "ChildConflict", "Service a, ConfigMap b"), 0),
        ];
        let mut before = GoodGoServiceStatus::default();
        for (after, told) in steps {
            let events = changes(&before, &after);
            assert_eq!(events.len(), told, "{after:?}");
            let warning = after.conditions[0].reason == "ChildConflict";
            assert!(events.iter().all(|event| (event.type_ == EventType::Warning) == warning));
            before = after;
        }
    }

    #[test]
    fn a_refused_caller_is_told_once() {
        let resolved =
            |message: &str| status(ConditionType::CallsResolved, ConditionStatus::True, "Resolved", message);
        let refused = resolved("every callee accepts; refused callers: b (CallerNotListed)");
        let events = changes(&resolved("every callee accepts"), &refused);
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].type_, &*events[0].reason), (EventType::Warning, "CallerRefused"));
        assert_eq!(events[0].note.as_deref(), Some("refused callers: b (CallerNotListed)"));
        let otherwise = resolved("no calls are declared; refused callers: b (CallerNotListed)");
        assert!(changes(&refused, &otherwise).is_empty());
        assert!(changes(&refused, &resolved("every callee accepts")).is_empty());
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let long = status(ConditionType::Contended, ConditionStatus::True, "Contended", &"é".repeat(2000));
        let events = changes(&GoodGoServiceStatus::default(), &long);
        assert_eq!(events[0].type_, EventType::Warning);
        assert!(events[0].note.as_ref().unwrap().len() <= 1024);
    }
}
