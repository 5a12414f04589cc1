//! One way to authenticate, whichever it is.

use std::fmt;

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;

use crate::Error;
use crate::aws::{Aws, AwsConfig};
use crate::azure::{Azure, AzureConfig};
use crate::env::Env;
use crate::google::{Google, GoogleConfig};

/// What a configuration says of how requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudAuth {
    /// Signatures of AWS.
    Aws(AwsConfig),
    /// Tokens of Azure AD.
    Azure(AzureConfig),
    /// Tokens of Google Cloud.
    Google(GoogleConfig),
}

/// Adds to requests what a cloud asks for.
pub struct Signer(Way);

enum Way {
    Aws(Aws),
    Azure(Azure),
    Google(Google),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Way::Aws(_) => "Signer(AWS)",
            Way::Azure(_) => "Signer(Azure)",
            Way::Google(_) => "Signer(Google)",
        })
    }
}

impl Signer {
    /// Signs as `config` says. Nothing is asked before the first request.
    ///
    /// # Errors
    /// [`Error::Config`]: no region, a cloud that is not known, a file of credentials that cannot be read.
    pub fn new(config: CloudAuth, env: &Env) -> Result<Self, Error> {
        Ok(Self(match config {
            CloudAuth::Aws(config) => Way::Aws(Aws::new(config, env)?),
            CloudAuth::Azure(config) => Way::Azure(Azure::new(config, env)?),
            CloudAuth::Google(config) => Way::Google(Google::new(&config, env)?),
        }))
    }

    /// The request with its signature or token. Its body must be bytes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where credentials cannot be had.
    pub fn sign(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Request, Error>> {
        Box::pin(async move {
            let (mut request, header) = match &self.0 {
                Way::Aws(aws) => return aws.sign(request).await,
                Way::Azure(azure) => (request, azure.header().await?),
                Way::Google(google) => (request, google.header().await?),
            };
            request.headers_mut().insert(AUTHORIZATION, header);
            Ok(request)
        })
    }
}
