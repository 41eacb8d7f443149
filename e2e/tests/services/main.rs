//! Tier 3: GoodGoServices on real pods, seen as their users see them. One theme a file.
//!
//! Each test has a namespace of its own; how many pods there are at once is bounded by
//! `scenario::Room`. Measurements run while no other test has pods.
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "tests: a panic is a report, and what was measured is printed"
)]

mod calls;
mod chain;
mod conflict;
mod deletion;
mod drain;
mod figures;
mod gateway;
mod healing;
mod hot;
mod identity;
mod kubectl;
mod policy;
mod refused;
mod restart;
mod restricted;
mod rollout;
mod scaling;
mod sections;
