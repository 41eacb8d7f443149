//! The driver: what happens to one service, in one sentence.
//!
//! A reconcile dereferences its input from caches, validates it, renders the children that the service should own, applies
//! what differs, has the pods follow, prunes what is left over, and reports. Only `apply`, `prune` and `report` talk to the API server, and
//! only when something differs. Watches fill the caches and say which service to look at; there is no periodic resync.

pub mod apply;
pub mod backoff;
pub mod cache;
pub mod child;
pub mod children;
pub mod contention;
mod context;
pub mod dereference;
mod events;
pub mod in_force;
mod kinds;
pub mod prune;
pub mod report;
pub mod status;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use goodgo_api::GoodGoService;
use goodgo_render::{ValidatedService, not_active, render};
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::time::Instant;
use tracing::{Instrument, debug, info_span, warn};

use self::children::Children;
pub use self::context::{Context, Service, api_resource};
use self::dereference::Input;
use self::report::{Next, Outcome};
use crate::error::Error;

/// Services that are reconciled at once.
const CONCURRENCY: u16 = 8;
/// A burst of events of one service becomes one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Longest pause while somebody else's object is in the way: its removal is not seen by a watch.
const BLOCKED: Duration = Duration::from_secs(60);
/// No reconcile takes longer; a stuck connection must not hold a service for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// Reconciles whatever is queued until `stop` is done, and then finishes what is under way.
pub async fn run(
    store: Store<GoodGoService>,
    queue: impl futures::Stream<Item = ObjectRef<GoodGoService>> + Send + 'static,
    context: Arc<Context>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    Controller::for_stream(futures::stream::pending(), store)
        .with_config(Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE))
        .reconcile_on(queue)
        .graceful_shutdown_on(stop)
        .run(reconcile, retry, context)
        // A service that is gone was queued by the deletion of its children.
        .for_each(|result| async move {
            if let Err(error) = result {
                debug!(%error, "reconcile")
            }
        })
        .await;
}

/// One reconcile, with everything around it: deletion, backoff, time limit, logs and metrics.
async fn reconcile(object: Arc<GoodGoService>, context: Arc<Context>) -> Result<Action, Error> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change()); // the garbage collector follows the owner references
    }
    let input = dereference::dereference(object, &context)?;
    if let Some(left) =
        context.backoff.remaining(&input.service.key, input.service.generation, Instant::now())
    {
        return Ok(Action::requeue(left));
    }
    let span =
        info_span!("reconcile", namespace = input.service.key.namespace, service = input.service.key.name);
    let started = Instant::now();
    let result = tokio::time::timeout(LONGEST, drive(&input, &context)).instrument(span).await;
    let result = result.unwrap_or(Err(Error::Timeout(LONGEST)));
    context.metrics.reconciled(result.as_ref().map_or_else(Error::reason, Next::as_str), started.elapsed());
    Ok(schedule(result?, &input, &context))
}

/// When to look again without being told to: mostly never, because a watch tells.
fn schedule(next: Next, input: &Input, context: &Context) -> Action {
    let (service, now) = (&input.service, Instant::now());
    if let Next::Blocked = next {
        return Action::requeue(context.backoff.blocked(&service.key, service.generation, BLOCKED, now));
    }
    context.backoff.reset(&service.key);
    match next {
        Next::At(at) => Action::requeue(at.saturating_duration_since(now)),
        Next::Settled | Next::Blocked => Action::await_change(),
    }
}

/// dereference → validate → render → apply → follow → prune → report; the first was done by the caller.
async fn drive(input: &Input, context: &Context) -> Result<Next, Error> {
    let outcome = derive(input, context).await;
    report::report(input, outcome, context).await
}

async fn derive(input: &Input, context: &Context) -> Outcome {
    if input.object.spec.suspend {
        return Outcome::Suspended;
    }
    let valid = match ValidatedService::new(&input.object, &input.platform) {
        Ok(valid) => valid,
        Err(violations) => return Outcome::Invalid(violations),
    };
    match enact(&valid, input, context).await {
        Ok(children) => {
            let not_active = not_active(&valid, &input.view, &input.platform);
            Outcome::Applied { children: Box::new(children), not_active }
        }
        Err(error) => Outcome::Failed(error),
    }
}

async fn enact(
    valid: &ValidatedService,
    input: &Input,
    context: &Context,
) -> Result<Children<children::Applied>, Error> {
    let rendered = render(valid, &input.view, &input.platform, &input.issuers, input.observed)?; // pure
    let prepared = Children::prepare(rendered)?; // pure
    let applied = apply::apply(prepared, &input.service, context).await?; // requests where something differs
    in_force::follow(&applied, input, context); // a task of its own: no reconcile waits for a pod
    prune::prune(&applied, &input.service, context).await?; // requests where something is left over
    Ok(applied)
}

/// What failed is tried again, later each time.
#[expect(clippy::needless_pass_by_value, reason = "kube's signature")]
fn retry(object: Arc<GoodGoService>, error: &Error, context: Arc<Context>) -> Action {
    let (service, namespace) = (&object.metadata.name, &object.metadata.namespace);
    warn!(namespace, service, reason = error.reason(), %error, "reconcile failed");
    let Ok(input) = dereference::dereference(object, &context) else { return Action::await_change() };
    let Input { service, .. } = input;
    let pause =
        context.backoff.failed(&service.key, service.generation, error.longest_pause(), Instant::now());
    Action::requeue(pause)
}
