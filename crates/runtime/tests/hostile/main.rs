//! Hostile messages, byte for byte, through the runtime to four apps: one that judges every byte it gets, Node.js, nginx
//! and the demo service. Runtime and app must never disagree on where a message ends: what the app receives is exactly
//! one well-formed request for each that the runtime accepted, or the runtime refused.

#![cfg(test)]

mod apps;
mod client;
mod frames;
mod http1;
mod http2;
mod recorder;
mod strict;
#[path = "../support/mod.rs"]
mod support;
mod vector;

#[test]
fn there_are_enough_vectors() {
    let (http1, http2) = (http1::vectors().len(), http2::vectors().len());
    assert!(http1 >= 60 && http2 >= 60, "{http1} of HTTP/1.1, {http2} of HTTP/2");
}
