//! How a configuration says where targets are: the sections of the mechanisms of this crate, and of those that are not built.
//! The crate `config` composes them.

mod mechanisms;
mod others;
mod sections;

pub use others::{Other, is_other, read_other, serialize_others};
pub use sections::{ConsulConfig, ConsulYaml, DnsConfig, DnsType, FileConfig, HttpConfig, StaticConfig};
