//! Paths as they are meant: clients put a base URL that ends in a slash before `/api/v1/…`.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Sends who asks for a path with empty segments or dots to the one without, as servers in Go do.
pub(super) async fn redirect(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let Some(path) = cleaned(uri.path()) else { return next.run(request).await };
    let to = uri.query().map_or(path.clone(), |query| format!("{path}?{query}"));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}

/// The path without empty segments, `.` and `..`; `None` where there are none.
fn cleaned(path: &str) -> Option<String> {
    let is_odd = |segment: &str| matches!(segment, "" | "." | "..");
    let segments = path.strip_prefix('/')?;
    let (inner, last) = segments.rsplit_once('/').unwrap_or(("", segments));
    let is_clean = (inner.is_empty() && !segments.starts_with('/') || !inner.split('/').any(is_odd))
        && !matches!(last, "." | "..");
    // Browsers take a backslash for a slash, and two slashes for another host.
    if is_clean || path.contains('\\') {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in segments.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let slash = if last.is_empty() && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{slash}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, want) in [
            ("/", None),
            ("*", None),
            ("/graph", None),
            ("/graph/", None),
            ("/api/v1/query", None),
            ("/a/..b/.c/...", None),
            ("//", Some("/")),
            ("///", Some("/")),
            ("//api/v1/query", Some("/api/v1/query")),
            ("/api//v1/query/", Some("/api/v1/query/")),
            ("/api/v1/query//", Some("/api/v1/query/")),
            ("/api/v1/../v1/./query", Some("/api/v1/query")),
            ("/..", Some("/")),
            ("/../../x", Some("/x")),
            ("/.", Some("/")),
            ("//example.org", Some("/example.org")),
            ("//\\example.org", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), want, "{path}");
        }
    }
}
