//! Options of a shipper, with Thanos' defaults.

use std::path::PathBuf;
use std::sync::Arc;

use model::Clock;
use service::Failpoints;

use super::check::Verify;

/// Options of a [`super::Shipper`].
#[derive(Debug, Clone)]
pub struct ShipperOptions {
    /// The data directory of the server.
    pub dir: PathBuf,
    /// The flag that named `dir`, for errors.
    pub dir_flag: &'static str,
    /// File name of the list of shipped blocks, in `dir`.
    pub list_file: String,
    /// Also upload blocks that the server has compacted.
    pub upload_compacted: bool,
    /// Newer blocks never wait for older ones.
    pub allow_out_of_order: bool,
    /// For how many passes newer blocks wait for an older one whose upload fails.
    pub hold_back_passes: u32,
    /// What is checked before an upload.
    pub verify: Verify,
    /// Store each file's SHA-256 in `meta.json`.
    pub hash: bool,
    /// Value of `thanos.source` in `meta.json`.
    pub source: String,
    /// For the time of upload.
    pub clock: Arc<dyn Clock>,
    /// `shipper.after_link`, `shipper.before_list`, `shipper.before_list_rename`, `shipper.after_list`, and those of
    /// [`crate::upload`].
    pub failpoints: Failpoints,
}

impl ShipperOptions {
    /// Thanos' defaults for the data directory `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            dir_flag: "--tsdb.path",
            list_file: "thanos.shipper.json".to_owned(),
            upload_compacted: false,
            allow_out_of_order: false,
            hold_back_passes: 20,
            verify: Verify::Index,
            hash: false,
            source: "sidecar".to_owned(),
            clock: Arc::new(model::SystemClock),
            failpoints: Failpoints::none(),
        }
    }
}
