//! A URL in a mounted file. It holds a password, so it is never shown.

use std::path::PathBuf;

use super::check::Error;

/// The file, and what was in it last.
pub(super) struct UrlFile {
    path: PathBuf,
    last: Option<String>,
}

impl UrlFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, last: None }
    }

    /// Reads it again; also tells whether it says something else than last time.
    ///
    /// The file is a few bytes on a memory file system (a Secret's volume), so that reading it blocks nobody.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::BadUrl`] when it is empty.
    pub(super) fn read(&mut self) -> Result<(&str, bool), Error> {
        let text = std::fs::read_to_string(&self.path).map_err(|error| Error::Unreadable(error.kind()))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::BadUrl("it is empty"));
        }
        let changed = self.last.as_deref() != Some(text);
        if changed {
            self.last = Some(text.to_owned());
        }
        Ok((self.last.as_deref().unwrap_or_default(), changed))
    }
}
