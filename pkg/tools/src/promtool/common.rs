//! What the commands have in common.

use std::io::Read as _;

use crate::Error;

/// What promtool ends with when only a lint found something and `--lint-fatal` is set, or a metric is odd.
pub(super) const LINT: u8 = 3;

/// The code that the process ends with.
pub(crate) type Outcome = Result<u8, Error>;

/// More of standard input is not read.
const INPUT_BYTES_MAX: u64 = 256 << 20;

/// Standard input as a text.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub(super) fn standard_input() -> Result<String, Error> {
    let mut text = String::new();
    let read = std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|e| Error::Failed(format!("reading standard input: {e}")))?;
    Ok(text)
}
