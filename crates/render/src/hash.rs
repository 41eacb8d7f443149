//! Short names for long things: the start of a SHA-256 in hex.

use sha2::{Digest, Sha256};

/// The first eight hex digits of the SHA-256 of `bytes`.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    hex(bytes, 4)
}

/// The first `length` bytes of the SHA-256 of `bytes`, as hex.
pub(crate) fn hex(bytes: &[u8], length: usize) -> String {
    Sha256::digest(bytes).iter().take(length).map(|byte| format!("{byte:02x}")).collect()
}
