//! The routes: pages, assets, and `ui.json`, by which the scripts know where they are.

use std::borrow::Cow;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::files::{File, INDEX};
use crate::pages::Page;

/// Nothing but our own files runs, styles and answers; no other site shows the page in a frame. Styles that scripts set
/// on elements need no exception; the editor's live in a shadow root for the same reason.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The interface at one component.
#[derive(Debug, Clone)]
pub struct Site {
    /// As in the command: `server`, `query`.
    pub component: &'static str,
    /// The program's version.
    pub version: String,
    /// Pages that make sense here, in the order of the navigation; the first is shown at the root.
    pub pages: &'static [Page],
    /// Whether the API takes Thanos' parameters (`dedup`, `partial_response`, `storeMatch[]`, …).
    pub thanos: bool,
}

impl Site {
    fn json(&self) -> Value {
        let pages: Vec<_> = self.pages.iter().map(|p| json!({ "name": p.name(), "paths": p.paths() })).collect();
        json!({ "component": self.component, "version": self.version, "thanos": self.thanos, "pages": pages })
    }

    /// `ui.json`.
    pub fn about(&self) -> Response {
        json_answer(self.json().to_string().into())
    }
}

/// The page itself, for the root or wherever the routes begin.
pub fn home() -> MethodRouter {
    get(|headers: HeaderMap| async move { serve(INDEX, &headers) })
}

/// Each page's paths, `ui.json` and `assets/…`, below wherever they are mounted: all links between them are relative.
pub fn routes(site: &Site) -> Router {
    let about = Bytes::from(site.json().to_string());
    routes_about(site.pages, get(move || std::future::ready(json_answer(about.clone()))))
}

/// As [`routes`], where it is known only when somebody asks for `ui.json` which of `pages` make sense.
pub fn routes_about(pages: &[Page], about: MethodRouter) -> Router {
    let asset = get(|Path(name): Path<String>, headers: HeaderMap| async move { asset(&name, &headers) });
    let mut router = Router::new().route("/ui.json", about).route("/assets/{name}", asset);
    for path in pages.iter().flat_map(|page| page.paths()) {
        router = router.route(&format!("/{path}"), home());
    }
    router
}

fn json_answer(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], body).into_response()
}

fn asset(name: &str, headers: &HeaderMap) -> Response {
    if name == INDEX { not_found() } else { serve(name, headers) }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "no such file: reload the page, its version may have changed\n").into_response()
}

fn serve(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = File::named(name) else { return not_found() };
    let takes_gzip = takes_gzip(headers);
    // One tag for each form: a cache must not take one for the other.
    let tag = format!("\"{}{}\"", file.digest, if takes_gzip { "-gzip" } else { "" });
    let kept = if file.is_immutable() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let common: [(HeaderName, &str); 6] = [
        (header::ETAG, &tag),
        (header::CACHE_CONTROL, kept),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_TYPE, file.content_type()),
    ];
    if is_known(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let body: Cow<'static, [u8]> = match takes_gzip {
        true => file.gzip.into(),
        false => match file.unpacked() {
            Ok(contents) => contents.into(),
            Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{name}: {error}\n")).into_response(),
        },
    };
    let mut response = (common, body).into_response();
    if takes_gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether the client has the contents of `tag` already.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|list| list.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && weight > 0.0
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    const PAGES: &[Page] = &[Page::Query, Page::Targets];

    fn site() -> Router {
        routes(&Site { component: "server", version: "1.2.3".to_owned(), pages: PAGES, thanos: true })
    }

    async fn ask(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = site().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn pages_of_the_component_answer_and_others_do_not() {
        for path in ["/graph", "/query", "/targets"] {
            let (status, headers, body) = ask(path, &[]).await;
            assert_eq!(status, 200, "{path}");
            assert!(headers.get(header::CONTENT_ENCODING).is_none());
            assert!(body.starts_with(b"<!doctype html>"), "{path}");
        }
        for path in ["/blocks", "/assets/none.js", "/assets/index.html", "/assets/..%2fui.json"] {
            assert_eq!(ask(path, &[]).await.0, 404, "{path}");
        }
    }

    #[tokio::test]
    async fn it_says_where_it_is() {
        let (_, _, body) = ask("/ui.json", &[]).await;
        let site: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(site["component"], "server");
        assert_eq!(site["pages"][0], json!({ "name": "query", "paths": ["graph", "query"] }));
    }

    #[tokio::test]
    async fn both_encodings_have_the_same_contents_and_their_own_tags() {
        let (_, plain_headers, plain) = ask("/graph", &[("accept-encoding", "br, gzip;q=0")]).await;
        let (_, headers, packed) = ask("/graph", &[("accept-encoding", "deflate, gzip;q=0.5")]).await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        assert_ne!(headers[header::ETAG], plain_headers[header::ETAG]);
        let tag = format!("\"x\", W/{}", headers[header::ETAG].to_str().unwrap());
        let (status, _, body) = ask("/graph", &[("accept-encoding", "gzip"), ("if-none-match", &tag)]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(ask("/graph", &[("if-none-match", &tag)]).await.0, 200);
    }

    #[tokio::test]
    async fn scripts_are_kept_and_the_policy_is_strict() {
        let (_, headers, html) = ask("/graph", &[]).await;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        let html = String::from_utf8(html).unwrap();
        assert!(!html.contains("<style") && !html.contains("<script>") && !html.contains(" on"), "{html}");
        let script = html.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let (status, headers, _) = ask(&format!("/{script}"), &[]).await;
        assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, "text/javascript"));
        assert!(headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    }
}
