//! An address of its own for every control plane that has no network namespace.

use crate::plan::API_PORT;
use anyhow::{Result, bail};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;

/// An address of 127.0.0.0/8 on which nobody listens: every control plane has the usual ports on an
/// address of its own, so none races another for a free port.
///
/// # Errors
/// When sixteen tries found none.
pub fn address() -> Result<String> {
    let mut random = RandomState::new().build_hasher();
    for attempt in 0..16u8 {
        random.write_u8(attempt);
        let [a, b, c, ..] = random.finish().to_le_bytes();
        let address = format!("127.{}.{b}.{}", a.max(1), c.clamp(1, 254));
        if [2379, 2380, API_PORT].iter().all(|port| TcpListener::bind((address.as_str(), *port)).is_ok()) {
            return Ok(address);
        }
    }
    bail!("failed to find a free loopback address")
}
