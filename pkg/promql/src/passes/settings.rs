//! What passes go by.

use crate::Grid;

pub(crate) struct Settings {
    /// The steps of the query.
    pub times: Grid,
    /// Start timestamps are read.
    pub use_start_timestamps: bool,
}
