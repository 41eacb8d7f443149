//! The subcommands, one file each.

pub(crate) mod bench;
pub(crate) mod control_plane;
pub(crate) mod demo;
pub(crate) mod deny;
pub(crate) mod parts;
pub(crate) mod soak;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod up;
