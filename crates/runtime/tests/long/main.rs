//! What takes a minute to show, side by side in one program.

#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod dead_dns;
mod overload;
