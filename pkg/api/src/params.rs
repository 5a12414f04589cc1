//! Parameters of a request: the URL's and, for POST, the form's.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use transport::http::answers::ErrorKind;

use crate::error::ApiError;
use crate::multipart;
use crate::shared::Shared;
use crate::values;

/// The longest value of a parameter, bytes; as long as a query may be.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// How much of a parameter's name an error shows, characters.
const NAME_SHOWN_MAX: usize = 64;

/// Names and values in order; those of the form come before those of the URL, as in Go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    pub headers: HeaderMap,
}

impl Params {
    #[cfg(test)]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { pairs: pairs.iter().map(owned).collect(), headers: HeaderMap::new() }
    }

    /// The first value of `name`, empty without one.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// All values of `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// All values of `name`, owned.
    pub fn owned(&self, name: &str) -> Vec<String> {
        self.all(name).into_iter().map(str::to_owned).collect()
    }

    /// The value of `name` read by `parse`, `None` when it is absent or empty.
    pub fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => parse(text).map(Some).map_err(|why| ApiError::parameter(name, why)),
        }
    }

    /// A time; the error says the name twice, as Prometheus' does.
    pub fn time(&self, name: &str, default_ms: i64) -> Result<i64, ApiError> {
        let parse =
            |text: &str| values::parse_time(text).map_err(|why| format!("invalid time value for '{name}': {why}"));
        Ok(self.parsed(name, parse)?.unwrap_or(default_ms))
    }

    /// `limit`; 0 = none.
    pub fn limit(&self) -> Result<usize, ApiError> {
        Ok(self.parsed("limit", values::parse_limit)?.unwrap_or(0))
    }

    fn add(&mut self, encoded: &[u8], max: usize) -> Result<(), ApiError> {
        url::form_urlencoded::parse(encoded).try_for_each(|(name, value)| self.push(name.into(), value.into(), max))
    }

    fn push(&mut self, name: String, value: String, max: usize) -> Result<(), ApiError> {
        if max > 0 && self.pairs.len() >= max {
            return Err(ApiError::bad(format!(
                "more than {max} parameters, match[] and others that repeat counted each time: ask for less in one request \
                 (--query.max-parameters)"
            )));
        }
        // The query has a limit of its own.
        if value.len() > VALUE_BYTES_MAX && name != "query" {
            let text = format!("{} bytes, more than {VALUE_BYTES_MAX}", value.len());
            return Err(ApiError::parameter(&name.chars().take(NAME_SHOWN_MAX).collect::<String>(), text));
        }
        self.pairs.push((name, value));
        Ok(())
    }
}

impl FromRequest<Shared> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, ApiError> {
        let mut params = Params::default();
        let max = shared.state.options.parameters_max;
        let (parts, body) = request.into_parts();
        let has_form = matches!(parts.method, Method::POST | Method::PUT);
        let kind = if has_form { content_type(&parts.headers) } else { "" };
        let read = read(body, shared.state.options.body_bytes_max);
        let query = parts.uri.query().unwrap_or("").as_bytes();
        if is(kind, "application/x-www-form-urlencoded") {
            params.add(&read.await?, max)?;
            params.add(query, max)?;
        } else if is(kind, "multipart/form-data") {
            // Here the URL comes first.
            params.add(query, max)?;
            let fields = multipart::fields(kind, &read.await?);
            let fields = fields.ok_or_else(|| ApiError::bad("error parsing form values: no multipart form"))?;
            fields.into_iter().try_for_each(|(name, value)| params.push(name, value, max))?;
        } else {
            params.add(query, max)?;
        }
        params.headers = parts.headers;
        Ok(params)
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("")
}

fn is(content_type: &str, media_type: &str) -> bool {
    content_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(media_type)
}

async fn read(body: Body, max: usize) -> Result<bytes::Bytes, ApiError> {
    let max = if max == 0 { usize::MAX } else { max };
    match Limited::new(body, max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(ApiError {
            kind: ErrorKind::BadData,
            text: format!("the form is larger than {max} bytes: ask for less in one request"),
            status: Some(StatusCode::PAYLOAD_TOO_LARGE),
        }),
        Err(e) => Err(ApiError::bad(format!("error parsing form values: {e}"))),
    }
}
