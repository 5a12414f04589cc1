//! HTTP clients from YAML (`--prometheus.http-client`, the sections of a Prometheus configuration that name servers):
//! Prometheus' `http_config` with Thanos' transport keys.

mod assertion;
mod build;
mod check;
mod config;
mod repeated;
mod request;
mod resend;
mod rotation;
mod secret;
mod token;

pub use config::{ClientConfig, TlsConfig};
pub use repeated::{GetAnswer, GetError, RepeatedGet, read_answer};
pub use request::HttpClient;
pub use resend::send_again;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml() {
        assert!(ClientConfig::parse("").unwrap().build().is_ok());
        assert!(
            ClientConfig::parse("basic_auth: {username: a, password: b}\ntransport_config: {idle_conn_timeout: 5m}")
                .is_ok()
        );
        let error = ClientConfig::parse("basic_aut: {}").unwrap_err().to_string();
        assert!(error.contains("basic_aut"), "{error}");
        let bad = ClientConfig::parse("transport_config: {idle_conn_timeout: fast}").unwrap().build();
        assert!(bad.unwrap_err().to_string().contains("fast"));
    }

    fn section(text: &str) -> Result<ClientConfig, yaml::Error> {
        ClientConfig::from_section(&yaml::parse(text).unwrap())
    }

    /// As templates leave them behind.
    #[test]
    fn what_is_empty_is_not_set() {
        for text in [
            "tls_config: {ca: '', ca_file: '', cert: '', cert_file: '', key: '', key_file: '', server_name: ''}",
            "basic_auth: {username: '', username_file: '', password: '', password_file: ''}",
            "authorization: {type: '', credentials: '', credentials_file: ''}",
            "bearer_token: ''\nbearer_token_file: ''",
            "proxy_url: ''\nno_proxy: ''\nproxy_connect_header: {}",
            "proxy_url: ''\nproxy_from_environment: true",
            "oauth2: {client_id: a, token_url: b, client_secret: '', client_secret_file: '', proxy_url: '', no_proxy: ''}",
        ] {
            let mut config = section(text).unwrap();
            config.resolve_paths(std::path::Path::new("/nowhere"));
            assert!(config.build().is_ok(), "{text}");
        }
        let config = section("basic_auth: {username: a, password: 12, password_file: ''}").unwrap();
        assert_eq!(config, section("basic_auth: {username: a, password: '12'}").unwrap());
    }

    #[test]
    fn what_may_not_come_together() {
        for (text, line, why) in [
            ("bearer_token: a\nbearer_token_file: b", 2, "at most one of bearer_token & bearer_token_file"),
            ("follow_redirects: true\nbearer_token: a\nbasic_auth: {username: a}", 3, "at most one of basic_auth"),
            ("bearer_token: a\nauthorization: {credentials: a}", 2, "not compatible with bearer_token"),
            ("basic_auth: {}\nauthorization: {}", 2, "at most one of basic_auth, oauth2 & authorization"),
            ("authorization: {type: ' BASIC '}", 1, "use \"basic_auth\" instead"),
            ("authorization: {credentials: a, credentials_file: b}", 1, "credentials & credentials_file"),
            ("basic_auth: {password: a, password_file: b}", 1, "password & password_file"),
            ("oauth2: {token_url: http://a}", 1, "client_id must be"),
            ("oauth2: {client_id: a}", 1, "token_url must be"),
            ("oauth2: {client_id: a, token_url: b, grant_type: c}", 1, "client_credentials and urn:ietf"),
            ("oauth2: {client_id: a, token_url: b, signature_algorithm: c}", 1, "RS256, RS384 and RS512"),
            ("oauth2: {client_id: a, token_url: b, client_secret: c, client_secret_file: d}", 1, "client_secret_file"),
            (
                "oauth2: {client_id: a, token_url: b, grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', \
                 client_certificate_key: c, client_certificate_key_file: d}",
                1,
                "client_certificate_key_file",
            ),
            ("tls_config:\n  cert_file: a", 1, "exactly one of key or key_file"),
            ("tls_config:\n  cert: a\n  key: b\n  key_file: c", 1, "at most one of key and key_file"),
            ("tls_config: {max_version: TLS11, min_version: TLS12}", 1, "greater than or equal"),
            ("tls_config: {min_version: SSL3}", 1, "unknown TLS version: SSL3"),
            ("no_proxy: a", 1, "proxy_url must also be configured"),
            ("proxy_from_environment: true\nproxy_url: http://a", 2, "proxy_url must not be configured"),
            ("proxy_connect_header: {a: [b]}", 1, "must also be configured"),
            ("http_headers: {Host: {values: [a]}}", 1, "\"Host\" is not allowed"),
            ("\nfollow_redirect: true", 2, "did you mean follow_redirects?"),
        ] {
            let error = section(text).unwrap_err();
            assert!(error.line == line && error.text.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let text = "oauth2: {client_id: id, client_secret: hidden, client_certificate_key: hidden, \
                    token_url: 'http://a/'}\n\
                    proxy_url: http://u:hidden@p\ntls_config: {cert: c, key: hidden}\n\
                    http_headers: {a: {values: [seen], secrets: [hidden]}}";
        let config = section(text).unwrap();
        let shown = yaml::print(&config).unwrap();
        assert!(!shown.contains("hidden") && shown.contains("seen") && shown.contains("<secret>"), "{shown}");
        assert!(!format!("{config:?}").contains("secret: hidden"));
        let token = yaml::print(&section("bearer_token: 0123").unwrap()).unwrap();
        assert!(
            token.contains("type: Bearer") && !token.contains("0123") && !token.contains("bearer_token"),
            "{token}"
        );
    }

    #[test]
    fn relative_paths_count_from_the_folder() {
        let mut config =
            section("basic_auth: {password_file: p}\ntls_config: {ca_file: /ca, cert_file: c, key_file: k}");
        let config = config.as_mut().unwrap();
        config.resolve_paths(std::path::Path::new("/etc"));
        let shown = yaml::print(config).unwrap();
        for path in ["/etc/p", " /ca", "/etc/c", "/etc/k"] {
            assert!(shown.contains(path), "{shown}");
        }
    }
}
