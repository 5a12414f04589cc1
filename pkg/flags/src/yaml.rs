//! YAML that flags and their files hold.

use serde::de::DeserializeOwned;

/// Reads the first document of `yaml`.
///
/// # Errors
/// What is wrong, and in which line. Nothing of the text around it is shown: it may hold secrets.
pub fn parse_yaml<T: DeserializeOwned>(yaml: &str) -> Result<T, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(model::first_document(yaml), options).map_err(|e| match e.location() {
        Some(at) => format!("line {}: {e}", at.line()),
        None => e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn reads_one_document_and_says_where_it_fails() {
        let map = |yaml: &str| parse_yaml::<BTreeMap<String, u64>>(yaml);
        assert_eq!(map("---\na: 1\n---\n{"), Ok(BTreeMap::from([("a".to_owned(), 1)])));
        let error = map("# keys\npassword: 1\nb: secret\n").unwrap_err();
        assert!(error.starts_with("line 3: ") && !error.contains("password"), "{error}");
    }
}
