//! Secrets that stand in the configuration or in a file beside it.

use std::path::Path;

use yaml::Secret;

use crate::Error;

pub(super) fn read(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())))?;
    Ok(text.trim().to_owned())
}

pub(super) fn either(text: Option<&Secret>, file: Option<&Path>) -> Result<Option<String>, Error> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.0.clone())),
        (None, Some(file)) => read(file).map(Some),
        (None, None) => Ok(None),
    }
}
