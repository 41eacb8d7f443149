//! What the tests let services do.

pub mod chain;
pub mod load;
