//! What a machine does to a runtime: a network that loses packets, and a clock that jumps.

#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod loss;
