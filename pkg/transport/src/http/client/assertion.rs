//! Signed assertions by which a client asks for a token: the grant `jwt-bearer` (RFC 7523) with RSA signatures (RFC 7518).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use super::config::OAuth2;
use super::secret::either;

/// For how long the token server may take an assertion, s.
const VALID_S: i64 = 600;

/// The name of the algorithm, and how to sign with it.
pub(super) fn algorithm(name: Option<&str>) -> Option<(&'static str, SignatureScheme)> {
    match name.unwrap_or_default() {
        "" | "RS256" => Some(("RS256", SignatureScheme::RSA_PKCS1_SHA256)),
        "RS384" => Some(("RS384", SignatureScheme::RSA_PKCS1_SHA384)),
        "RS512" => Some(("RS512", SignatureScheme::RSA_PKCS1_SHA512)),
        _ => None,
    }
}

/// An assertion of this client at `now_s`, Unix seconds. Its number must differ each time.
///
/// # Errors
/// What is wrong with the key, or its file.
pub(super) fn assertion(config: &OAuth2, now_s: i64, number: u128) -> Result<String, String> {
    let (name, scheme) = algorithm(config.signature_algorithm.as_deref())
        .ok_or_else(|| "valid signature algorithms are RS256, RS384 and RS512".to_owned())?;
    let mut header = json!({"alg": name, "typ": "JWT"});
    if let Some(id) = config.client_certificate_key_id.as_deref().filter(|id| !id.is_empty()) {
        header["kid"] = id.into();
    }
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&Value::Object(claims(config, now_s, number))));
    let signature = sign(config, scheme, signed.as_bytes())?;
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

fn claims(config: &OAuth2, now_s: i64, number: u128) -> Map<String, Value> {
    let or = |text: &Option<String>, other: &str| text.clone().filter(|t| !t.is_empty()).unwrap_or(other.to_owned());
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| _ = claims.insert(name.to_owned(), value);
    claim("iss", or(&config.iss, &config.client_id).into());
    claim("sub", config.client_id.clone().into());
    claim("jti", format!("{number:032x}").into());
    claim("aud", or(&config.audience, &config.token_url).into());
    claim("iat", now_s.into());
    claim("exp", (now_s + VALID_S).into());
    if !config.scopes.is_empty() {
        claim("scope", config.scopes.join(" ").into());
    }
    claims.extend(config.claims.clone());
    claims
}

fn sign(config: &OAuth2, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, String> {
    let pem = either(config.client_certificate_key.as_ref(), config.client_certificate_key_file.as_deref())
        .map_err(|e| e.to_string())?
        .unwrap_or_default();
    let wrong = |e: &dyn std::fmt::Display| format!("client_certificate_key cannot be used: {e}");
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| wrong(&e))?;
    let key = any_supported_type(&key).map_err(|e| wrong(&e))?;
    let signer = key.choose_scheme(&[scheme]).ok_or_else(|| wrong(&"it is no RSA key"))?;
    signer.sign(message).map_err(|e| wrong(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms() {
        assert_eq!([None, Some(""), Some("RS512")].map(|n| algorithm(n).unwrap().0), ["RS256", "RS256", "RS512"]);
        assert!(algorithm(Some("HS256")).is_none());
    }

    #[test]
    fn claims_of_the_configuration_win() {
        let config = OAuth2 {
            client_id: "id".into(),
            token_url: "http://a/token".into(),
            scopes: vec!["a".into(), "b".into()],
            claims: [("sub".to_owned(), json!("someone")), ("n".to_owned(), json!([1, true]))].into(),
            ..OAuth2::default()
        };
        let got = claims(&config, 1000, 255);
        let want = json!({
            "iss": "id", "sub": "someone", "jti": format!("{:032x}", 255), "aud": "http://a/token", "iat": 1000,
            "exp": 1600, "scope": "a b", "n": [1, true],
        });
        assert_eq!(Value::Object(got), want);
        let config = OAuth2 { iss: Some("me".into()), audience: Some("you".into()), ..config };
        let got = claims(&config, 0, 0);
        assert_eq!((&got["iss"], &got["aud"]), (&json!("me"), &json!("you")));
    }

    /// `openssl dgst -sha384 -sign rsa.key` makes the same signature.
    #[test]
    fn signed_as_others_sign() {
        let config = OAuth2 {
            client_id: "id".into(),
            token_url: "t".into(),
            signature_algorithm: Some("RS384".into()),
            client_certificate_key_id: Some("k".into()),
            client_certificate_key_file: Some(
                concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tls/rsa.key").into(),
            ),
            ..OAuth2::default()
        };
        let got = assertion(&config, 1000, 7).unwrap();
        let (signed, signature) = got.rsplit_once('.').unwrap();
        let plain = |part: &str| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let parts: Vec<String> = signed.split('.').map(plain).collect();
        assert_eq!(parts[0], r#"{"alg":"RS384","kid":"k","typ":"JWT"}"#);
        let claims = format!(r#"{{"aud":"t","exp":1600,"iat":1000,"iss":"id","jti":"{:032x}","sub":"id"}}"#, 7);
        assert_eq!(parts[1], claims);
        assert_eq!(
            signature,
            "ZvRdimoPYaXvE8OC6UMJX8-wq9LeSNJiHh7l_aEQ9isd8VEYNkxtRnWJJry6wFukOdZrMvZX51EptrM78fy88yyRZdC9KBlY\
             vg9meLgQ4mOgxfgtCo6IlD0Nb9B9ON93z809QzHXuhhuVUfjHkB8Sw079mMVlk4bSMTlKrnnqhYhCg97c7EHOvKpHUJzrO0G\
             wINPzqYwcgepXzdhxAQWSQxg1CWCBxfkIvr0HXIBMefebUIrty2Iq6LVrwq-TZzfV4DQbUFayCHmFB2miVB2_oaA6zTcQJUU\
             oZ0XCeDOudBNDYHtfYzdUnoDFTxPJ2GDXXR4ZedB6tD85O4ZyCpmeQ"
        );
    }

    #[test]
    fn keys_that_cannot_sign_are_told() {
        for key in ["", "half", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let config = OAuth2 { client_certificate_key: Some(yaml::Secret(key.to_owned())), ..OAuth2::default() };
            let error = assertion(&config, 0, 0).unwrap_err();
            assert!(error.starts_with("client_certificate_key cannot be used: "), "{error}");
        }
    }
}
