//! Topics: who holds each one's settings, and who may use it.
//!
//! Settings stand on one publisher, the owner. A topic that was taken in hand stays with the service in whose status that
//! is recorded, so that nothing flips when resources are applied again and nobody takes or freezes another's topic. Only a
//! first claim by two at once blocks both. Publishers and subscribers of other namespaces count where the owner lists them.

mod claim;
mod index;
mod ruling;
mod state;

pub use claim::{Publication, Subscription, TopicRight};
pub(crate) use claim::{publications, subscriptions};
pub(crate) use index::Topics;
use ruling::Ruling;
pub use state::{TopicState, TopicView, TopicsView};
