//! `$(NAME)` in configuration text, as Thanos replaces it: before YAML is read.

use super::error::ConfigError;

/// Replaces each `$(NAME)`; NAME is letters, digits and underscores. Values are not looked into again.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let mut rest = line;
        while let Some(at) = rest.find("$(") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            let name = &after[..after.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()];
            out.push_str(before);
            if name.is_empty() || !after[name.len()..].starts_with(')') {
                out.push_str("$(");
                rest = after;
                continue;
            }
            let value = env(name).ok_or_else(|| ConfigError::Env { line: number, name: name.to_owned() })?;
            out.push_str(&value);
            rest = &after[name.len() + 1..];
        }
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces() {
        let env = |name: &str| (name == "A_1").then(|| "$(A_1)x".to_owned());
        for (text, want) in [("a: $(A_1)$(A_1)", "a: $(A_1)x$(A_1)x"), ("$A $() $(", "$A $() $("), ("$(a-b)", "$(a-b)")]
        {
            assert_eq!(expand(text, &env).unwrap(), want);
        }
        assert_eq!(
            expand("x\ny: $(B)", &env).unwrap_err().to_string(),
            "line 2: environment variable \"B\" is not set"
        );
    }
}
