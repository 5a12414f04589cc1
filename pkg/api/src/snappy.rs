//! Answers in Snappy's framing format, for clients that ask for that and nothing better.

use std::io::Write;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, header};
use snap::write::FrameEncoder;

/// Compresses the answer when `snappy` is accepted and neither gzip nor zstd is.
pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let wanted = accepts_only_snappy(request.headers());
    let response = next.run(request).await;
    if !wanted || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, framed(body))
}

fn accepts_only_snappy(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|v| v.to_str().ok());
    let mut snappy = false;
    for coding in lists.flat_map(|list| list.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "snappy" => snappy |= !refused,
            "gzip" | "zstd" if !refused => return false,
            _ => {}
        }
    }
    snappy
}

fn framed(body: Body) -> Body {
    let begin = (body.into_data_stream(), Some(FrameEncoder::new(Vec::new())));
    Body::from_stream(stream::unfold(begin, |(mut plain, encoder)| async move {
        let mut encoder = encoder?;
        match fill(&mut plain, &mut encoder).await {
            Ok(true) => {
                let out = std::mem::take(encoder.get_mut());
                Some((Ok(Bytes::from(out)), (plain, Some(encoder))))
            }
            Ok(false) => {
                let rest = encoder.into_inner().map_err(|e| axum::Error::new(e.into_error()));
                Some((rest.map(Bytes::from), (plain, None)))
            }
            Err(e) => Some((Err(e), (plain, None))),
        }
    }))
}

/// Reads until the encoder has something to send; false at the end.
async fn fill(plain: &mut BodyDataStream, encoder: &mut FrameEncoder<Vec<u8>>) -> Result<bool, axum::Error> {
    while let Some(piece) = plain.next().await {
        encoder.write_all(&piece?).map_err(axum::Error::new)?;
        if !encoder.get_ref().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_codings_come_first() {
        for (accepted, wanted) in [
            ("snappy", true),
            ("identity, Snappy;q=0.5", true),
            ("gzip;q=0, snappy", true),
            ("gzip, snappy", false),
            ("snappy, zstd", false),
            ("snappy;q=0", false),
            ("gzip", false),
            ("", false),
        ] {
            let headers = [(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))].into_iter().collect();
            assert_eq!(accepts_only_snappy(&headers), wanted, "{accepted}");
        }
    }
}
