//! What the tests let services do.

pub mod load;
