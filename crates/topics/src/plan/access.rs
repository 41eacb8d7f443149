//! Access rules: what is needed is given before anything is taken back.

use crate::actual::Actual;
use crate::change::Change;
use crate::desired::Desired;

/// Rules that others made are no concern: only what was granted for a service before is taken back.
pub(super) fn changes(desired: &Desired, actual: &Actual) -> Vec<Change> {
    let Some(actual) = &actual.acls else { return Vec::new() };
    let given = desired.acls.difference(actual).cloned().map(Change::CreateAcl);
    let taken = desired
        .granted
        .difference(&desired.acls)
        .filter(|acl| actual.contains(acl))
        .cloned()
        .map(Change::DeleteAcl);
    given.chain(taken).collect()
}
