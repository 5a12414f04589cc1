//! Requests with the configured headers.

use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, HeaderName};
use reqwest::{Method, RequestBuilder};

use super::config::ClientConfig;
use super::repeated::{Limits, RepeatedGet};
use super::rotation::{Connections, Opened};
use super::secret::{either, read};
use crate::Error;

/// A client with its authentication. Token and password files are read at each request, certificates and keys when they
/// change, so rotation needs no restart.
#[derive(Debug, Clone)]
pub struct HttpClient {
    connections: Arc<Connections>,
    config: Arc<ClientConfig>,
}

impl HttpClient {
    pub(super) fn new(opened: Result<Opened, String>, config: ClientConfig) -> Self {
        let connections = Arc::new(Connections::new(opened, &config));
        Self { connections, config: Arc::new(config) }
    }

    /// Whether its TLS files could be used so far.
    pub fn is_open(&self) -> bool {
        self.connections.opened(&self.config).is_ok()
    }

    /// A GET with the configured authentication, OAuth 2.0 excepted.
    ///
    /// # Errors
    /// When a token or password file cannot be read, or `oauth2` is configured.
    pub fn get(&self, url: &str) -> Result<RequestBuilder, Error> {
        self.plain(Method::GET, url)
    }

    /// A POST with the configured authentication, OAuth 2.0 excepted.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, url: &str) -> Result<RequestBuilder, Error> {
        self.plain(Method::POST, url)
    }

    /// A request with the configured headers and authentication; may ask an OAuth 2.0 server for a token first.
    ///
    /// # Errors
    /// When a file cannot be read or no token is given.
    pub fn request(&self, method: Method, url: &str) -> BoxFuture<'static, Result<RequestBuilder, Error>> {
        let prepared = self.connections.opened(&self.config).and_then(|opened| {
            let request = self.authorize(opened.client.request(method, url))?;
            Ok((request, opened.tokens))
        });
        Box::pin(async move {
            match prepared? {
                (request, Some(tokens)) => Ok(request.header(AUTHORIZATION, tokens.header().await?)),
                (request, None) => Ok(request),
            }
        })
    }

    /// A GET with these further headers that is sent again and again. `None` where the URL or the configuration wants more
    /// than plain HTTP, or headers that may differ from time to time.
    pub fn repeated(&self, url: &str, headers: &[(HeaderName, &str)]) -> Option<RepeatedGet> {
        let c = &*self.config;
        let is_plain = c.proxy_url.is_none() && c.proxy_from_environment == Some(false) && c.unix_socket.is_none();
        if !is_plain || c.oauth2.is_some() || c.reads_files() {
            return None;
        }
        let times = c.transport_config.clone().unwrap_or_default();
        let request = self.get(url).ok()?;
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
        let limits = Limits {
            idle_max: times.idle_max().ok()?,
            connect_timeout: times.connect_timeout().ok()?,
            follows_redirects: c.follow_redirects,
        };
        RepeatedGet::new(&request.build().ok()?, limits)
    }

    fn plain(&self, method: Method, url: &str) -> Result<RequestBuilder, Error> {
        if self.config.oauth2.is_some() {
            return Err(Error::Config("oauth2 is not used for these requests: set authorization or basic_auth".into()));
        }
        self.authorize(self.connections.opened(&self.config)?.client.request(method, url))
    }

    fn authorize(&self, mut request: RequestBuilder) -> Result<RequestBuilder, Error> {
        let c = &*self.config;
        for (name, header) in c.http_headers.iter().flatten() {
            let bad = |_| Error::Config(format!("http_headers: {name:?} is no name of a header"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(bad)?;
            let shown = header.values.iter().chain(header.secrets.iter().map(|secret| &secret.0));
            for value in shown {
                request = request.header(name.clone(), value);
            }
            for file in &header.files {
                request = request.header(name.clone(), read(file)?);
            }
        }
        if let Some(auth) = &c.basic_auth {
            let user = match &auth.username_file {
                Some(file) => read(file)?,
                None => auth.username.clone(),
            };
            return Ok(request.basic_auth(user, either(auth.password.as_ref(), auth.password_file.as_deref())?));
        }
        if let Some(auth) = &c.authorization {
            let credentials = either(auth.credentials.as_ref(), auth.credentials_file.as_deref())?.unwrap_or_default();
            let value = format!("{} {credentials}", auth.kind.as_deref().unwrap_or("Bearer"));
            return Ok(request.header(AUTHORIZATION, value));
        }
        Ok(match either(c.bearer_token.as_ref(), c.bearer_token_file.as_deref())? {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }
}
