//! Requests to servers of the large clouds: signatures of AWS, tokens of Azure AD and of Google Cloud.
//!
//! A [`Signer`] is made of what a configuration says, and adds to each request what its cloud asks for. Credentials are
//! fetched again before they expire.

mod aws;
mod azure;
mod env;
mod google;
mod signer;
mod token;

pub use aws::AwsConfig;
pub use azure::{AzureConfig, AzureIdentity};
pub use env::Env;
pub use google::GoogleConfig;
pub use signer::{CloudAuth, Signer};

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration lacks something, or says what cannot be.
    #[error("{0}")]
    Config(String),
    /// Credentials cannot be had now; it is worth another try.
    #[error("{0}")]
    Unavailable(String),
}
