//! One topic that nobody declares any more.

use super::Verdict;
use crate::actual::ActualTopic;
use crate::change::Change;
use crate::desired::{DeletionPolicy, Held, Retired};
use crate::finding::Finding;

/// What becomes of it: only a topic that was made here, is still that one, and shall go, goes.
pub(super) fn judge(name: &str, topic: &Retired, found: Option<&ActualTopic>) -> (Verdict, Option<Change>) {
    let Retired { held: Held { id, adopted, config: _ }, policy } = topic;
    let Some(found) = found else { return (Verdict::default(), None) };
    let finding = match policy {
        _ if found.id != *id => Some(Finding::NotOursToDelete { found: found.id.clone() }),
        DeletionPolicy::Retain => Some(Finding::Retained),
        DeletionPolicy::Delete if *adopted => Some(Finding::AdoptedIsRetained),
        DeletionPolicy::Delete => None,
    };
    let deletion = Change::DeleteTopic { topic: name.to_owned(), id: found.id.clone() };
    let deletion = finding.is_none().then_some(deletion);
    let verdict = Verdict {
        id: Some(found.id.clone()),
        partitions: Some(found.partitions),
        adopted: *adopted,
        findings: finding.into_iter().collect(),
    };
    (verdict, deletion)
}
