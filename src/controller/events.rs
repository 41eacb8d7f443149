//! Events: what `kubectl describe` tells of changes. One per change of a condition that matters, none while nothing changes.

use goodgo_api::conditions::{Condition, ConditionStatus, ConditionType};
use goodgo_api::{GoodGoService, GoodGoServiceStatus};
use kube::Resource;
use kube::runtime::events::{Event, EventType};
use tracing::debug;

use super::Context;

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

/// Ready carries the reason of whatever holds it back; the others don't show in it.
fn changes(before: &GoodGoServiceStatus, after: &GoodGoServiceStatus) -> Vec<Event> {
    [ConditionType::Ready, ConditionType::Contended, ConditionType::Suspended]
        .into_iter()
        .filter_map(|type_| {
            let (before, after) = (find(before, type_), find(after, type_)?);
            is_news(before, after).then(|| event(after))
        })
        .collect()
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
    let note =
        condition.message.char_indices().take_while(|(at, _)| *at < LONGEST_NOTE).map(|(_, char)| char);
    Event {
        type_: event_type(condition),
        reason: condition.reason.clone(),
        note: Some(note.collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
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
