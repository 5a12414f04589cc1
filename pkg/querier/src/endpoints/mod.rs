//! Who can be asked: the endpoints configured by flags, files and DNS, and what each said when last asked.

mod endpoint;
mod sd;
mod set;

pub use endpoint::{Endpoint, Health};
pub use sd::{SdError, file_sd_addresses, parse_sd};
pub use set::{EndpointSet, Mode, SetOptions, Spec};
