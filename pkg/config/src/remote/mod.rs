//! The sections `remote_write` and `remote_read`.

mod auth;
mod read;
mod write;

pub use auth::{AzureAd, GoogleIam, SigV4};
pub use read::{RemoteReadConfig, RemoteReadYaml};
pub use write::{MetadataConfig, QueueConfig, RemoteWriteConfig, RemoteWriteYaml, parse_remote_write};
