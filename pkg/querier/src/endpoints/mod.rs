//! Who can be asked: the endpoints configured by flags, files and DNS, and what each said when last asked.

mod endpoint;
mod files;
mod members;
mod sd;
mod set;

pub use endpoint::{Endpoint, Health};
pub use files::EndpointFiles;
pub use members::Members;
pub use sd::{SdError, load_sd, parse_sd};
pub use set::{Configured, EndpointSet, Mode, SetOptions, Spec};
