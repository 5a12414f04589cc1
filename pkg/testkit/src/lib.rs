//! For tests only: an S3 server inside the process ([`s3::Server`]), series from plain numbers ([`series`]), waiting for
//! conditions ([`wait_for`]), what every store that is written to must do ([`append`]), blocks made by promtool ([`prometheus`]), and child processes that do not outlive their test ([`Process`]).

pub mod append;
pub mod prometheus;
pub mod s3;

mod data;
mod folder;
mod process;
mod series;
mod wait;

pub use data::{conformance_dir, setting, skip_without, skip_without_service};
pub use folder::copy_dir;
pub use process::{Process, free_port};
pub use series::{labels_of, series, series_with_chunks};
pub use wait::wait_for;
