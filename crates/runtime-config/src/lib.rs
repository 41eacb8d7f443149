//! The file that the operator writes and the runtime reads.
//!
//! The operator renders one [`RuntimeConfig`] per service into a ConfigMap (key [`FILE_NAME`]); the runtime beside the
//! app watches the mounted file and swaps it in while it runs. Everything in it is hot, so it carries no listener ports:
//! those are frozen for a pod's life and stand on the runtime's command line ([`ports`] has their numbers). One type, one
//! JSON schema (`schema/runtime-config.schema.json`), and the same validation on both sides: [`RuntimeConfig::to_json`]
//! refuses to write what [`parse`] would refuse to read.

mod error;
mod model;
pub mod ports;
mod validate;

pub mod headers;

pub use error::{Error, Violation};
pub use model::*;
pub use validate::{is_authority, is_http_url};

/// Key in the ConfigMap and name of the mounted file.
pub const FILE_NAME: &str = "runtime.json";

/// Largest file that is read, in bytes: what a ConfigMap can hold.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Reads and validates the bytes of a configuration file.
///
/// # Errors
/// [`Error::TooLarge`] above [`MAX_FILE_BYTES`], [`Error::Decode`] (with line and column) when the bytes are not this
/// type's JSON, [`Error::Invalid`] (with every violation's path and remedy) when a value is out of its bounds.
pub fn parse(bytes: &[u8]) -> Result<RuntimeConfig, Error> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len() });
    }
    let config: RuntimeConfig = serde_json::from_slice(bytes).map_err(Error::Decode)?;
    config.validate()?;
    Ok(config)
}

/// The JSON schema of the file, pretty-printed with a final newline; `schema/runtime-config.schema.json` is a copy.
///
/// # Errors
/// [`Error::Encode`] when the schema can't be written as JSON.
pub fn json_schema() -> Result<String, Error> {
    let schema = schemars::schema_for!(RuntimeConfig);
    let mut text = serde_json::to_string_pretty(&schema).map_err(Error::Encode)?;
    text.push('\n');
    Ok(text)
}
