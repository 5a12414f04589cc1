//! From pairs as the input has them to a label set.

use labels::Labels;

use super::SeriesRefusal;

/// Limits on a label set; 0 = none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelLimits {
    /// Labels with a value.
    pub labels_max: usize,
    /// Length of a name, bytes.
    pub name_bytes_max: usize,
    /// Length of a value, bytes.
    pub value_bytes_max: usize,
}

/// The label set of pairs in any order. Labels with an empty value are dropped: they are the same as no label.
///
/// # Errors
/// [`SeriesRefusal`] for names that are empty or come twice, a set without labels, and limits.
pub fn label_set(pairs: &[(&str, &str)], limits: &LabelLimits) -> Result<Labels, SeriesRefusal> {
    let over = |len: usize, max: usize| max > 0 && len > max;
    let mut sorted: Vec<(&str, &str)> = pairs.to_vec();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|w| w[0].0 == w[1].0) {
        return Err(SeriesRefusal::DuplicateName(shown(twice[0].0)));
    }
    sorted.retain(|(_, value)| !value.is_empty());
    if sorted.is_empty() {
        return Err(SeriesRefusal::Empty);
    }
    if over(sorted.len(), limits.labels_max) {
        return Err(SeriesRefusal::TooManyLabels { labels: sorted.len(), max: limits.labels_max });
    }
    for (name, value) in &sorted {
        if name.is_empty() {
            return Err(SeriesRefusal::EmptyName);
        }
        for (what, len, max) in
            [("name", name.len(), limits.name_bytes_max), ("value", value.len(), limits.value_bytes_max)]
        {
            if over(len, max) {
                return Err(SeriesRefusal::TooLong { name: shown(name), what, bytes: len, max });
            }
        }
    }
    // Sorted, and no name twice.
    Ok(Labels::from_pairs(sorted))
}

/// A name for a message.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_refusals() {
        let limits = LabelLimits { labels_max: 2, name_bytes_max: 3, value_bytes_max: 4 };
        let set = |pairs: &[(&str, &str)]| label_set(pairs, &limits).map(|l| l.to_string()).map_err(|e| e.to_string());
        for (pairs, want) in [
            (&[("b", "2"), ("a", "1")][..], Ok(r#"{a="1", b="2"}"#)),
            (&[("b", "2"), ("a", "1"), ("c", "")], Ok(r#"{a="1", b="2"}"#)),
            (&[("a", "1"), ("a", "1")], Err("label name \"a\" is not unique: invalid sample")),
            (&[("a", ""), ("a", "1")], Err("label name \"a\" is not unique: invalid sample")),
            (&[("a", "")], Err("empty label set")),
            (&[], Err("empty label set")),
            (&[("", "1")], Err("empty label name")),
            (&[("a", "1"), ("b", "1"), ("c", "1")], Err("3 labels, over the limit of 2")),
            (&[("long", "1")], Err("label \"long\": name of 4 bytes, over the limit of 3")),
            (&[("a", "12345")], Err("label \"a\": value of 5 bytes, over the limit of 4")),
        ] {
            assert_eq!(set(pairs), want.map(str::to_owned).map_err(str::to_owned), "{pairs:?}");
        }
    }
}
