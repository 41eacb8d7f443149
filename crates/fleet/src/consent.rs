//! Consent: what a callee says about who may call it, and the one function that decides.

use crate::ServiceKey;
use crate::declaration::Declaration;
use goodgo_api::access as api;
use std::collections::BTreeSet;
use std::fmt;

/// Whom a service lets in. The default is every service of its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The only services that may call; `None`: all that [`Access::namespaces`] permits, empty: nobody.
    pub callers: Option<BTreeSet<ServiceKey>>,
    /// Other namespaces whose services may call.
    pub namespaces: Namespaces,
    /// Whether fixed keys are accepted too, by which a caller without a runtime can prove itself.
    pub keys: bool,
}

/// Namespaces, besides the service's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Every namespace (`*`).
    All,
    /// These.
    Listed(BTreeSet<String>),
}

impl Default for Namespaces {
    fn default() -> Self {
        Self::Listed(BTreeSet::new())
    }
}

/// Why a callee does not accept a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// `access.callers` of the callee does not name the caller.
    CallerNotListed,
    /// `access.namespaces` of the callee does not list the caller's namespace.
    NamespaceNotListed,
    /// The callee's runtime asks who calls, and the caller has no runtime that could prove it.
    CallerHasNoIdentity,
}

impl Refusal {
    /// The reason in CamelCase, as conditions and statuses write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallerNotListed => "CallerNotListed",
            Self::NamespaceNotListed => "NamespaceNotListed",
            Self::CallerHasNoIdentity => "CallerHasNoIdentity",
        }
    }

    /// A sentence that says what to do, at the callee or at the caller.
    #[must_use]
    pub fn remedy(self, caller: &ServiceKey, callee: &ServiceKey) -> String {
        let ServiceKey { namespace, name } = caller;
        match self {
            Self::CallerNotListed if namespace == &callee.namespace => {
                format!("{callee} does not accept {name}: add {{service: {name}}} to its access.callers")
            }
            Self::CallerNotListed => format!(
                "{callee} does not accept {caller}: add {{service: {name}, namespace: {namespace}}} to its access.callers"
            ),
            Self::NamespaceNotListed => {
                format!(
                    "{callee} accepts no calls from namespace {namespace}: add it to its access.namespaces"
                )
            }
            Self::CallerHasNoIdentity => format!(
                "{callee} asks who calls, and without a runtime {caller} can't prove it: switch the runtime of {caller} on, or give {callee} access.keys"
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Access {
    /// What a spec in `namespace` says; an absent group is the default.
    pub(crate) fn from_spec(access: Option<&api::Access>, namespace: &str) -> Self {
        let Some(access) = access else { return Self::default() };
        let callers = access.callers.as_ref().map(|callers| {
            callers
                .iter()
                .map(|caller| {
                    let from = caller.namespace.as_ref().map_or(namespace, |name| name.as_str());
                    ServiceKey::new(from, caller.service.as_str())
                })
                .collect()
        });
        let namespaces = if access.namespaces.iter().any(|name| name.as_str() == "*") {
            Namespaces::All
        } else {
            Namespaces::Listed(access.namespaces.iter().map(|name| name.0.clone()).collect())
        };
        Self { callers, namespaces, keys: access.keys.is_some() }
    }

    /// Whether the service `callee`, which has this access, does not list `caller`, and why. The namespace comes first:
    /// as long as it is not listed, naming the caller changes nothing.
    pub(crate) fn unlisted(&self, caller: &ServiceKey, callee: &ServiceKey) -> Option<Refusal> {
        let listed = match &self.namespaces {
            Namespaces::All => true,
            Namespaces::Listed(namespaces) => namespaces.contains(&caller.namespace),
        };
        if caller.namespace != callee.namespace && !listed {
            return Some(Refusal::NamespaceNotListed);
        }
        match &self.callers {
            Some(callers) if !callers.contains(caller) => Some(Refusal::CallerNotListed),
            _ => None,
        }
    }
}

impl Declaration {
    /// Whether this service, which is `callee`, refuses `caller`, which declares `calling`, and why.
    pub(crate) fn refusal(
        &self,
        callee: &ServiceKey,
        caller: &ServiceKey,
        calling: &Self,
    ) -> Option<Refusal> {
        let nameless = || self.endpoint.runtime && !calling.identity.proven && !self.access.keys;
        let listed = self.access.unlisted(caller, callee);
        listed.or_else(|| nameless().then_some(Refusal::CallerHasNoIdentity))
    }
}
