//! Pages for people: where they stand below prefixes, what they may load, who may change something by them.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The one style sheet of all pages, within them.
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}\
td.n{text-align:right}code{background:#f4f4f4;padding:.1rem .3rem}.down{color:#b00;white-space:pre-wrap}\
input{width:70%;font:inherit;padding:.3rem}";

/// A page: nothing but its own style is loaded, no script runs, no other site shows it in a frame. `title` and `body` are
/// An HTML page with the one style sheet; `title` and `body` are HTML already, see [`escape`].
pub fn page(title: &str, body: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        STANDARD.encode(Sha256::digest(STYLE))
    );
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>{body}</html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
    ];
    (headers, html).into_response()
}

/// `text` as HTML that shows it, in element content and in quoted attributes.
pub fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// Where the routes of a component stand, and where people see them.
#[derive(Debug, Clone, Default)]
pub struct Prefixes {
    route: String,
    external: Option<String>,
    header: Option<String>,
}

impl Prefixes {
    /// From `--web.route-prefix`, `--web.external-prefix` and `--web.prefix-header`, slashes at their ends or not.
    pub fn new(route: &str, external: &str, header: &str) -> Self {
        let given = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        Self { route: normal(route), external: given(external).map(|e| normal(&e)), header: given(header) }
    }

    /// Whether there is no route prefix.
    pub fn is_root(&self) -> bool {
        self.route.is_empty()
    }

    /// `routes`, and `page` where they begin. Who comes to another place without a page, `/` or the prefix without a slash,
    /// is sent to `home`, a path of `routes`: links of a page are relative, so it must stand where they fit.
    pub fn mount(&self, home: &'static str, page: MethodRouter, routes: Router) -> Router {
        if self.is_root() {
            return routes.route("/", page);
        }
        let route = self.route.as_str();
        let here = self.clone();
        let redirect = get(move |headers: HeaderMap| async move {
            let to = format!("{}/{home}", here.seen_at(&headers));
            (StatusCode::FOUND, [(header::LOCATION, to)])
        });
        let router = self.nest(routes).route("/", redirect.clone());
        router.route(route, redirect).route(&format!("{route}/"), page)
    }

    /// Puts `routes` below the route prefix, as they are where there is none.
    pub fn nest(&self, routes: Router) -> Router {
        if self.is_root() { routes } else { Router::new().nest(&self.route, routes) }
    }

    /// The prefix that a browser has to use.
    pub fn seen_at(&self, headers: &HeaderMap) -> String {
        let told = self.header.as_ref().and_then(|name| headers.get(name)?.to_str().ok());
        // A second slash would name another host.
        let told = told.map(normal).filter(|t| !t.starts_with("//") && !t.contains('\\'));
        told.or_else(|| self.external.clone()).unwrap_or_else(|| self.route.clone())
    }
}

/// With a slash at the beginning and none at the end; nothing for the root. Of a URL its path counts.
fn normal(prefix: &str) -> String {
    let path = match prefix.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => prefix,
    };
    match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// Tells browsers to take each answer for what it says it is.
pub(super) async fn nosniff(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}

/// A layer for routes that change something: a page of another site cannot have a browser call them.
pub async fn same_origin(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    let text = "requests that change something are not taken from pages of another origin";
    super::answers::forbidden(text)
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    match (text("origin"), text("sec-fetch-site")) {
        (_, Some("cross-site" | "same-site")) => false,
        // No browser, or one that says that all is well.
        (None, _) => !headers.contains_key("origin"),
        (Some(origin), _) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some_and(|h| [text("host"), text("x-forwarded-host")].iter().flatten().any(|own| same(h, own)))
        }
    }
}

fn same(origin: &str, own: &str) -> bool {
    let bare = |host: &str| {
        let host = host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")).unwrap_or(host);
        host.to_ascii_lowercase()
    };
    bare(origin) == bare(own)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, request: axum::http::request::Builder) -> Response {
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn at(router: &Router, path: &str, header: (&str, &str)) -> (u16, String) {
        let response = ask(router, Request::get(path).header(header.0, header.1)).await;
        let to = response.headers().get(header::LOCATION).map_or("", |v| v.to_str().unwrap()).to_owned();
        (response.status().as_u16(), to)
    }

    fn site(route: &str, external: &str) -> Router {
        let routes = Router::new().route("/graph", get(async || "graph")).route("/api/v1/labels", get(async || "[]"));
        Prefixes::new(route, external, "X-Prefix").mount("graph", get(async || "home"), routes)
    }

    #[tokio::test]
    async fn pages_stand_where_their_links_fit() {
        let plain = ("x-other", "");
        for route in ["p", "/p", "/p/", "p/", "http://host/p/"] {
            let router = site(route, "");
            for path in ["/", "/p"] {
                assert_eq!(at(&router, path, plain).await, (302, "/p/graph".to_owned()), "{route} {path}");
            }
            for path in ["/p/", "/p/graph", "/p/api/v1/labels"] {
                assert_eq!(at(&router, path, plain).await.0, 200, "{route} {path}");
            }
            assert_eq!(at(&router, "/graph", plain).await.0, 404);
            assert_eq!(at(&router, "/", ("X-Prefix", "/seen/")).await.1, "/seen/graph");
            for hostile in ["//evil.example", "/\\evil.example"] {
                assert!(!at(&router, "/", ("X-Prefix", hostile)).await.1.starts_with("//"));
                assert!(!at(&router, "/", ("X-Prefix", hostile)).await.1.contains('\\'));
            }
        }
        let router = site("/p/q", "https://grafana.example/ext/");
        assert_eq!(at(&router, "/p/q", plain).await, (302, "/ext/graph".to_owned()));
        assert_eq!(at(&router, "/p/q/", plain).await.0, 200);
        for route in ["", "/"] {
            let router = site(route, "/ext");
            assert_eq!(at(&router, "/", plain).await.0, 200);
            assert_eq!(at(&router, "/graph", plain).await.0, 200);
        }
    }

    #[tokio::test]
    async fn pages_of_other_sites_change_nothing() {
        let router = Router::new().route("/mark", post(async || "done").get(async || "seen"));
        let router = router.layer(axum::middleware::from_fn(same_origin));
        for (headers, want) in [
            (&[("host", "a:1")][..], 200),
            (&[("host", "a:1"), ("origin", "http://a:1")], 200),
            (&[("host", "A"), ("origin", "https://a:443")], 200),
            (&[("host", "inner:1"), ("x-forwarded-host", "a"), ("origin", "https://a")], 200),
            (&[("host", "a:1"), ("sec-fetch-site", "same-origin"), ("origin", "http://a:1")], 200),
            (&[("host", "a:1"), ("origin", "http://b:1")], 403),
            (&[("host", "a:1"), ("origin", "http://a:2")], 403),
            (&[("host", "a:1"), ("origin", "null")], 403),
            (&[("host", "a:1"), ("sec-fetch-site", "cross-site")], 403),
        ] {
            let mut request = Request::post("/mark");
            let mut read = Request::get("/mark");
            for (name, value) in headers {
                (request, read) = (request.header(*name, *value), read.header(*name, *value));
            }
            assert_eq!(ask(&router, request).await.status(), want, "{headers:?}");
            assert_eq!(ask(&router, read).await.status(), 200, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn the_policy_lets_the_style_through() {
        let response = page("a", &escape("<b>'\"&"));
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let html = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        let style = html.split("<style>").nth(1).and_then(|s| s.split("</style>").next()).unwrap();
        assert!(policy.contains(&format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style)))));
        assert!(html.contains("&lt;b&gt;&#39;&quot;&amp;"));
    }
}
