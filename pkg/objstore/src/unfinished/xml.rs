//! S3's `ListMultipartUploads` and `ListParts`, which `object_store` does not ask for. GCS answers the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use futures::TryStreamExt;
use http::{Method, StatusCode};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::GcpCredentialProvider;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Error, Result, RetryConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Unfinished, UnfinishedMarker, UnfinishedPage, UnfinishedUpload};

/// A page is at most a thousand keys of a kilobyte, escaped.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// So much of an answer that refuses is shown.
const REFUSAL_BYTES_MAX: usize = 2 << 10;
/// The longest wait between two tries, whatever was configured: cleaning comes again anyway.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How requests prove whose they are.
pub(crate) enum Auth {
    /// Signatures of version 4.
    Aws { credentials: AwsCredentialProvider, region: String },
    /// A bearer token.
    Gcp(GcpCredentialProvider),
    /// Requests are not signed.
    Nobody,
}

/// A bucket that speaks S3's XML.
pub(crate) struct XmlUnfinished {
    pub(crate) client: HttpClient,
    pub(crate) auth: Auth,
    /// The bucket's URL.
    pub(crate) url: String,
    /// Before each key: `""`, or with a slash at its end.
    pub(crate) prefix: String,
    pub(crate) retry: RetryConfig,
    /// The store through which uploads are aborted.
    pub(crate) store: Arc<dyn MultipartStore>,
}

impl fmt::Debug for XmlUnfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XmlUnfinished").field("url", &self.url).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UploadsXml {
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    encoding_type: Option<String>,
    #[serde(rename = "Upload")]
    uploads: Vec<UploadXml>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadXml {
    key: String,
    upload_id: String,
    initiated: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PartsXml {
    is_truncated: bool,
    next_part_number_marker: Option<String>,
    #[serde(rename = "Part")]
    parts: Vec<PartXml>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PartXml {
    last_modified: String,
}

#[derive(Debug, thiserror::Error)]
enum Odd {
    // Words in object_store's own errors that show their kind.
    #[error("Server returned non-2xx status code: {status}: {body}")]
    Status { status: StatusCode, body: String },
    #[error("an answer of more than 16 MiB")]
    TooLong,
    #[error("not understood: {0}")]
    Xml(#[from] quick_xml::DeError),
    #[error("{0:?} is no time")]
    Time(String),
    #[error("truncated without saying where it goes on")]
    NoMarker,
    #[error(transparent)]
    Request(#[from] http::Error),
    #[error(transparent)]
    Header(#[from] http::header::InvalidHeaderValue),
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "S3", source: source.into() }
}

fn time_ms(text: &str) -> Result<i64> {
    let parsed = DateTime::parse_from_rfc3339(text.trim());
    parsed.map(|t| t.timestamp_millis()).map_err(|_| failed(Odd::Time(text.to_owned())))
}

/// All but what signatures leave as it is, as `%XX`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What `encoding-type=url` says; bytes that are no UTF-8 become `U+FFFD`: such a key is none of ours.
fn unescaped(text: &str) -> String {
    let (mut out, bytes) = (Vec::with_capacity(text.len()), text.as_bytes());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The uploads below `prefix`, and where the next page begins.
fn page_of(xml: UploadsXml, prefix: &str) -> Result<UnfinishedPage> {
    let is_escaped = xml.encoding_type.as_deref() == Some("url");
    let key = |text: String| if is_escaped { unescaped(&text) } else { text };
    let mut uploads = Vec::with_capacity(xml.uploads.len());
    for upload in xml.uploads {
        let whole = key(upload.key);
        let Some(path) = whole.strip_prefix(prefix) else { continue };
        uploads.push(UnfinishedUpload {
            path: path.to_owned(),
            id: upload.upload_id,
            begun_ms: time_ms(&upload.initiated)?,
        });
    }
    let next = match (xml.is_truncated, xml.next_key_marker.filter(|k| !k.is_empty())) {
        (false, _) => None,
        (true, Some(marker)) => {
            Some(UnfinishedMarker { key: key(marker), id: xml.next_upload_id_marker.unwrap_or_default() })
        }
        (true, None) => return Err(failed(Odd::NoMarker)),
    };
    Ok(UnfinishedPage { uploads, next })
}

impl XmlUnfinished {
    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let query: Vec<String> = query.iter().map(|(k, v)| format!("{k}={}", escaped(v))).collect();
        let key: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(escaped).collect();
        let slash = if key.is_empty() { "" } else { "/" };
        let url = format!("{}{slash}{}?{}", self.url, key.join("/"), query.join("&"));
        let mut tries = 0;
        loop {
            let outcome = self.get_once(&url).await;
            let is_transient = match &outcome {
                Ok((status, _)) => {
                    status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED
                        || *status == StatusCode::TOO_MANY_REQUESTS
                }
                Err(_) => true,
            };
            if is_transient && tries < self.retry.max_retries {
                let backoff = &self.retry.backoff;
                let factor = backoff.base.powi(i32::try_from(tries).unwrap_or(i32::MAX));
                let wait = backoff.init_backoff.as_secs_f64() * factor;
                let wait_max = backoff.max_backoff.min(BACKOFF_MAX);
                tokio::time::sleep(wait_max.min(Duration::try_from_secs_f64(wait).unwrap_or(wait_max))).await;
                tries += 1;
                continue;
            }
            let (status, body) = outcome?;
            if status.is_success() {
                return quick_xml::de::from_reader(&body[..]).map_err(|e| failed(Odd::Xml(e)));
            }
            let shown = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_BYTES_MAX)]).into_owned();
            let odd = Odd::Status { status, body: shown };
            return Err(match status {
                StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => {
                    Error::NotSupported { source: odd.into() }
                }
                StatusCode::NOT_FOUND => Error::NotFound { path: path.to_owned(), source: odd.into() },
                _ => failed(odd),
            });
        }
    }

    async fn get_once(&self, url: &str) -> Result<(StatusCode, Vec<u8>)> {
        let request = http::Request::builder().method(Method::GET).uri(url).body(HttpRequestBody::empty());
        let mut request: HttpRequest = request.map_err(|e| failed(Odd::Request(e)))?;
        match &self.auth {
            Auth::Aws { credentials, region } => {
                let credential = credentials.get_credential().await?;
                AwsAuthorizer::new(&credential, "s3", region).try_authorize(&mut request, None)?;
            }
            Auth::Gcp(credentials) => {
                let bearer = &credentials.get_credential().await?.bearer;
                let value = http::HeaderValue::from_str(&format!("Bearer {bearer}"));
                let value = value.map_err(|e| failed(Odd::Header(e)))?;
                request.headers_mut().insert(http::header::AUTHORIZATION, value);
            }
            Auth::Nobody => {}
        }
        let response = self.client.execute(request).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        let (mut whole, mut chunks) = (Vec::new(), body.bytes_stream());
        while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
            if whole.len() + chunk.len() > PAGE_BYTES_MAX {
                return Err(failed(Odd::TooLong));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok((parts.status, whole))
    }

    fn key(&self, upload: &UnfinishedUpload) -> String {
        format!("{}{}", self.prefix, upload.path)
    }
}

#[async_trait]
impl Unfinished for XmlUnfinished {
    async fn page(&self, after: Option<UnfinishedMarker>) -> Result<UnfinishedPage> {
        let mut query = vec![("uploads", ""), ("encoding-type", "url")];
        if !self.prefix.is_empty() {
            query.push(("prefix", &self.prefix));
        }
        if let Some(after) = &after {
            query.push(("key-marker", &after.key));
            query.push(("upload-id-marker", &after.id));
        }
        page_of(self.get("", &query).await?, &self.prefix)
    }

    async fn newest_part_ms(&self, upload: &UnfinishedUpload) -> Result<Option<i64>> {
        let (mut newest, mut after) = (None, None::<String>);
        loop {
            let mut query = vec![("uploadId", upload.id.as_str())];
            query.extend(after.as_deref().map(|after| ("part-number-marker", after)));
            let page: PartsXml = self.get(&self.key(upload), &query).await?;
            for part in &page.parts {
                newest = newest.max(Some(time_ms(&part.last_modified)?));
            }
            if !page.is_truncated {
                return Ok(newest);
            }
            let next = page.next_part_number_marker.filter(|next| Some(next) != after.as_ref());
            after = Some(next.ok_or_else(|| failed(Odd::NoMarker))?);
        }
    }

    async fn abort(&self, upload: &UnfinishedUpload) -> Result<()> {
        let key = Path::parse(self.key(upload))?;
        self.store.abort_multipart(&key, &upload.id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(xml: &str, prefix: &str) -> Result<UnfinishedPage> {
        page_of(quick_xml::de::from_reader(xml.as_bytes()).unwrap(), prefix)
    }

    #[test]
    fn pages() {
        let head = r#"<?xml version="1.0" encoding="UTF-8"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><KeyMarker/><UploadIdMarker/>"#;
        let upload = |key: &str| {
            format!(
                "<Upload><Key>{key}</Key><UploadId>i</UploadId><Initiator><ID>x</ID></Initiator><StorageClass>STANDARD</StorageClass><Initiated>1970-01-01T00:00:01.500Z</Initiated></Upload>"
            )
        };
        let tail = "</ListMultipartUploadsResult>";
        let want = |path: &str| UnfinishedUpload { path: path.to_owned(), id: "i".to_owned(), begun_ms: 1500 };
        let none = page(&format!("{head}<IsTruncated>false</IsTruncated>{tail}"), "").unwrap();
        assert_eq!(none, UnfinishedPage::default());
        let two = format!(
            "{head}<EncodingType>url</EncodingType><NextKeyMarker>p%2Fb%2Bc</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker><IsTruncated>true</IsTruncated>{}{}{tail}",
            upload("p%2Fa+b"),
            upload("other")
        );
        let two = page(&two, "p/").unwrap();
        assert_eq!(two.uploads, [want("a b")]);
        assert_eq!(two.next, Some(UnfinishedMarker { key: "p/b+c".to_owned(), id: "i".to_owned() }));
        let plain = page(&format!("{head}{}<IsTruncated>false</IsTruncated>{tail}", upload("a+%2F")), "").unwrap();
        assert_eq!(plain.uploads, [want("a+%2F")]);
        assert!(page(&format!("{head}<IsTruncated>true</IsTruncated>{tail}"), "").is_err());
    }

    #[test]
    fn escapes() {
        for (text, want) in [("a/b c", "a%2Fb%20c"), ("~-_.", "~-_."), ("ü", "%C3%BC")] {
            assert_eq!(escaped(text), want);
            assert_eq!(unescaped(want), text);
        }
        assert_eq!(unescaped("100%"), "100%");
        assert_eq!(unescaped("%ü"), "%ü");
    }
}
