//! Who asks, and keeping tenants to their own series.

use std::sync::Arc;

use http::HeaderMap;
use labels::Matcher;
use promql_syntax::{Expr, walk_mut};

use crate::error::ApiError;
use crate::state::ApiOptions;

/// Headers that carry the tenant besides the configured one.
const KNOWN_HEADERS: [&str; 2] = ["THANOS-TENANT", "X-Scope-OrgID"];

/// The tenant of a request.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub id: Arc<str>,
    /// What every selector must have besides its own matchers, when tenancy is enforced.
    pub matcher: Option<Matcher>,
}

impl Tenant {
    pub fn of(headers: &HeaderMap, options: &ApiOptions) -> Result<Self, ApiError> {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
        let id = header(&options.tenant_header)
            .or_else(|| KNOWN_HEADERS.into_iter().find_map(header))
            .unwrap_or(&options.default_tenant);
        // Tenants name folders elsewhere: a name must not lead out of its own.
        if id.is_empty() || id.contains('/') || id == "." || id == ".." {
            return Err(ApiError::bad("tenant name not valid"));
        }
        let matcher = options.enforce_tenancy.then(|| Matcher::equal(options.tenant_label.as_str(), id));
        Ok(Self { id: id.into(), matcher })
    }

    /// The matchers with the tenant's in place of any on the same label.
    pub fn enforce(&self, matchers: Vec<Matcher>) -> Vec<Matcher> {
        let Some(own) = &self.matcher else { return matchers };
        let mut kept: Vec<_> = matchers.into_iter().filter(|m| m.name() != own.name()).collect();
        kept.push(own.clone());
        kept
    }

    /// The same for every selector of a query.
    pub fn enforce_query(&self, expr: &mut Expr) {
        if self.matcher.is_none() {
            return;
        }
        walk_mut(expr, &mut |node| {
            let vector = match node {
                Expr::Vector(vector) => vector,
                Expr::Matrix(matrix) => &mut matrix.vector,
                _ => return,
            };
            // The matcher of a name before the braces stays the last one.
            let mut matchers = self.enforce(vector.matchers.to_vec());
            if vector.name.is_some()
                && let Some(at) = matchers.iter().rposition(|m| m.name() == labels::METRIC_NAME)
            {
                let name = matchers.remove(at);
                matchers.push(name);
            }
            vector.matchers = matchers.into();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(enforce_tenancy: bool) -> ApiOptions {
        ApiOptions { enforce_tenancy, tenant_header: "X-Team".to_owned(), ..ApiOptions::default() }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn headers_in_order() {
        for (given, id) in [
            (&[][..], "default-tenant"),
            (&[("x-team", "a"), ("thanos-tenant", "b"), ("x-scope-orgid", "c")], "a"),
            (&[("thanos-tenant", "b"), ("x-scope-orgid", "c")], "b"),
            (&[("x-team", ""), ("x-scope-orgid", "c")], "c"),
        ] {
            assert_eq!(&*Tenant::of(&headers(given), &options(false)).unwrap().id, id);
        }
        for bad in ["../x", "a/b", "..", "."] {
            let given = [("x-team", bad)];
            assert_eq!(Tenant::of(&headers(&given), &options(false)).unwrap_err().text, "tenant name not valid");
        }
    }

    #[test]
    fn every_selector_is_the_tenants() {
        let tenant = Tenant::of(&headers(&[("x-team", "a")]), &options(true)).unwrap();
        for (query, enforced) in [
            ("up", r#"up{tenant_id="a"}"#),
            (r#"rate(up{tenant_id="b",x="1"}[5m])"#, r#"rate(up{tenant_id="a",x="1"}[5m])"#),
            (r#"sum(a) / on () {tenant_id=~".+"}"#, r#"sum(a{tenant_id="a"}) / on () {tenant_id="a"}"#),
            ("max_over_time(a[5m:1m])", r#"max_over_time(a{tenant_id="a"}[5m:1m])"#),
            ("1", "1"),
        ] {
            let mut expr = promql_syntax::parse(query).unwrap();
            tenant.enforce_query(&mut expr);
            let mut wanted = promql_syntax::parse(enforced).unwrap();
            let sorted = |expr: &mut Expr| {
                let all = promql_syntax::selectors(expr).into_iter().map(|s| {
                    let mut texts: Vec<_> = s.matchers.iter().map(ToString::to_string).collect();
                    texts.sort();
                    (s.name.clone(), texts)
                });
                all.collect::<Vec<_>>()
            };
            assert_eq!(sorted(&mut expr), sorted(&mut wanted), "{query}");
        }
    }
}
