//! Sections of mechanisms that are not built: checked as Prometheus checks them, and shown.

use std::collections::BTreeMap;

use transport::http::ClientConfig;
use yaml::{DurationMs, Error, Key, Node, SECRET, Value};

use super::mechanisms::{Http, Kind, MECHANISMS, Mechanism, Rule};

/// The sections of one mechanism that is not built.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    /// The mechanism, as in `ec2`.
    pub mechanism: &'static str,
    /// Line of the key.
    pub line: u32,
    /// Its sections without their secrets.
    pub sections: Vec<Node>,
}

/// Whether a key is one of a mechanism that is not built.
pub fn is_other(key: &str) -> bool {
    mechanism(key).is_some()
}

/// Reads the sections at a key that [`is_other`].
///
/// # Errors
/// What Prometheus refuses, with its place; a key that is none.
pub fn read_other(key: &Key, node: &Node) -> Result<Other, Error> {
    match mechanism(&key.text) {
        Some(mechanism) => mechanism.read(key.line, node),
        None => Err(Error::at(key.line, key.column, format!("unknown key {:?}", key.text))),
    }
}

fn mechanism(key: &str) -> Option<&'static Mechanism> {
    let name = key.strip_suffix("_sd_configs")?;
    MECHANISMS.iter().find(|mechanism| mechanism.name == name)
}

impl Mechanism {
    /// Checks the sections at a key.
    fn read(&'static self, line: u32, node: &Node) -> Result<Other, Error> {
        let mut sections = Vec::new();
        for section in node.list()? {
            sections.push(self.check(section)?);
        }
        Ok(Other { mechanism: self.name, line, sections })
    }

    fn check(&self, section: &Node) -> Result<Node, Error> {
        if section.is_null() || section.entries().is_empty() {
            return Err(section.error(format!("empty or null section in {}_sd_configs", self.name)));
        }
        let (http, own) = section.clone().split(|key| self.is_client_key(key))?;
        for (key, value) in own.entries() {
            let Some((_, kind)) = self.keys.iter().find(|(name, _)| *name == key.text) else {
                let why = format!("unknown key {:?} in {}_sd_configs", key.text, self.name);
                return Err(Error::at(key.line, key.column, why));
            };
            if !value.is_null() {
                kind.check(value)?;
            }
        }
        for rule in self.rules {
            rule.check(section)?;
        }
        let client = ClientConfig::from_section(&http)?;
        Ok(self.shown(section.clone(), &client))
    }

    fn is_client_key(&self, key: &str) -> bool {
        match self.http {
            Http::All => ClientConfig::has_key(key),
            Http::Tls => key == "tls_config",
            Http::None => false,
        }
    }

    /// The section without secrets.
    fn shown(&self, mut section: Node, client: &ClientConfig) -> Node {
        let client = yaml::print(client).ok().and_then(|text| yaml::parse(&text).ok());
        if let Value::Map(entries) = &mut section.value {
            entries.retain(|(key, value)| !value.is_null() && !self.is_client_key(&key.text));
            for (key, value) in entries.iter_mut() {
                if self.keys.contains(&(key.text.as_str(), Kind::Secret)) {
                    value.value = Value::Scalar { text: SECRET.to_owned(), plain: false };
                }
            }
            let client = client.iter().flat_map(|client| client.entries().iter());
            entries.extend(client.filter(|(key, _)| self.is_client_key(&key.text)).cloned());
        }
        section
    }
}

impl Kind {
    fn check(self, value: &Node) -> Result<(), Error> {
        match self {
            Self::Text | Self::Secret => value.decode::<String>().map(drop),
            Self::Number => value.decode::<i64>().map(drop),
            Self::Flag => value.decode::<bool>().map(drop),
            Self::Duration => value.decode::<DurationMs>().map(drop),
            Self::Texts => value.decode::<Vec<String>>().map(drop),
            Self::Filters => {
                for filter in value.list()? {
                    let known = ["name", "values"];
                    if let Some((key, _)) = filter.entries().iter().find(|(key, _)| !known.contains(&key.text.as_str()))
                    {
                        return Err(Error::at(key.line, key.column, format!("unknown key {:?} in filters", key.text)));
                    }
                    let values: Vec<String> = filter.get("values").map_or(Ok(Vec::new()), Node::decode)?;
                    if values.is_empty() {
                        return Err(filter.error_at("values", "EC2 SD configuration filter values cannot be empty"));
                    }
                    filter.get("name").map_or(Ok(String::new()), Node::decode::<String>)?;
                }
                Ok(())
            }
        }
    }
}

fn text<'a>(section: &'a Node, key: &str) -> &'a str {
    section.get(key).and_then(Node::text).unwrap_or("")
}

fn is_set(section: &Node, key: &str) -> bool {
    section.get(key).is_some_and(|value| match &value.value {
        Value::Scalar { text, .. } => !text.is_empty(),
        Value::List(nodes) => !nodes.is_empty(),
        Value::Map(_) => true,
        Value::Null => false,
    })
}

impl Rule {
    fn check(self, section: &Node) -> Result<(), Error> {
        let refuse = |key: &str, why: String| Err(section.error_at(key, why));
        match self {
            Self::Required(key, why) if !is_set(section, key) => refuse(key, why.to_owned()),
            Self::OneOf(key, default, values, why) => {
                let value = if is_set(section, key) { text(section, key) } else { default };
                if values.contains(&value) {
                    return Ok(());
                }
                refuse(key, format!("{why} {value:?}; there are {}", values.join(", ")))
            }
            Self::OneSecretKey => match (is_set(section, "secret_key"), is_set(section, "secret_key_file")) {
                (false, false) => refuse("", "one of secret_key & secret_key_file must be configured".to_owned()),
                (true, true) => refuse(
                    "secret_key_file",
                    "at most one of secret_key & secret_key_file must be configured".to_owned(),
                ),
                _ => Ok(()),
            },
            Self::Url(key, no_scheme, no_host) => {
                check_url(text(section, key), no_scheme, no_host).or_else(|why| refuse(key, why))
            }
            Self::AnyUrl(key, why) if is_set(section, key) && url::Url::parse(text(section, key)).is_err() => {
                refuse(key, format!("{why} {:?}", text(section, key)))
            }
            Self::NotTogether(these, others, why) => {
                let set = |keys: &[&str]| keys.iter().any(|key| is_set(section, key));
                if set(these) && set(others) { refuse(these.first().unwrap_or(&""), why.to_owned()) } else { Ok(()) }
            }
            Self::RequiredIf(key, value, others) if !is_set(section, key) || text(section, key) == value => {
                let missing = others.iter().find(|key| !is_set(section, key));
                missing.map_or(Ok(()), |other| refuse(other, format!("{other} must be set with {key}: {value}")))
            }
            Self::Rooted(key) => {
                let paths: Vec<String> = section.get(key).map_or(Ok(Vec::new()), Node::decode)?;
                let bad = paths.iter().find(|path| !path.starts_with('/'));
                bad.map_or(Ok(()), |path| refuse(key, format!("{key} must begin with '/': {path}")))
            }
            Self::Required(..) | Self::AnyUrl(..) | Self::RequiredIf(..) => Ok(()),
        }
    }
}

/// Checks that a URL is one of HTTP, with a host.
pub(super) fn check_url(url: &str, no_scheme: &str, no_host: &str) -> Result<(), String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Err(no_scheme.to_owned()) };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(no_scheme.to_owned());
    }
    if rest.is_empty() || rest.starts_with(['/', '?', '#']) {
        return Err(no_host.to_owned());
    }
    url::Url::parse(url).map(drop).map_err(|e| e.to_string())
}

/// Writes sections as they are, mechanism by mechanism.
///
/// # Errors
/// The serializer's.
pub fn serialize_others<S: serde::Serializer>(others: &[Other], serializer: S) -> Result<S::Ok, S::Error> {
    let all: BTreeMap<String, &[Node]> =
        others.iter().map(|other| (format!("{}_sd_configs", other.mechanism), other.sections.as_slice())).collect();
    serde::Serialize::serialize(&all, serializer)
}
