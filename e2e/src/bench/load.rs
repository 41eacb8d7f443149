//! The load generator.

pub(crate) mod closed;
pub(crate) mod connection;
pub(crate) mod open;
