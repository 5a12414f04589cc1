//! `aion tools check metrics`.

use std::collections::BTreeMap;

use flags::{Flag, Parsed};
use service::tool::Deps;
use textparse::{Entry, Format, Options, Parser};

use super::common::{LINT, Outcome, standard_input};
use super::promlint::{Family, problems};
use crate::Error;

pub(super) const FLAGS: &[Flag] = &[
    Flag::switch("extended", "Print extended information related to the cardinality of the metrics."),
    Flag::word(
        "lint",
        &["all", "none"],
        "all",
        "Linting checks to apply for metrics. Available options are: all, none. Use --lint=none to disable metrics linting.",
    ),
];

/// Blanks between the columns of the table.
const PADDING: usize = 4;

pub(super) fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let (is_linted, is_extended) = (parsed.text("lint") != "none", parsed.switch("extended"));
    if !is_linted && !is_extended {
        let why = "error: at least one of --extended or linting must be enabled\n\
                   Use --extended for cardinality analysis, or remove --lint=none to enable linting\n";
        deps.print_error(why)?;
        return Ok(1);
    }
    let text = standard_input()?;
    let families = match families(text.as_bytes()) {
        Ok(families) => families,
        Err(why) => {
            deps.print_error(&format!("error while linting: {why}\n"))?;
            return Ok(1);
        }
    };
    let mut code = 0;
    if is_linted {
        for (name, family) in &families {
            for problem in problems(name, family) {
                code = LINT;
                deps.print_error(&format!("{name} {problem}\n"))?;
            }
        }
    }
    if is_extended {
        deps.print(&cardinality(&families))?;
    }
    Ok(code)
}

/// The families of a body, by name.
fn families(body: &[u8]) -> Result<BTreeMap<String, Family>, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(e.to_string());
    let mut parser = Parser::new(body, Format::Text, Options::default()).map_err(|e| failed(&e))?;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    while let Some(entry) = parser.next().map_err(|e| failed(&e))? {
        match entry {
            Entry::Type { family, metric_type } => {
                current = family.into_owned();
                families.entry(current.clone()).or_default().metric_type = metric_type;
            }
            Entry::Help { family, text } => {
                current = family.into_owned();
                families.entry(current.clone()).or_default().help = Some(text.into_owned());
            }
            Entry::Sample(sample) => {
                let name = sample.series.name().into_owned();
                let suffixes = ["", "_bucket", "_sum", "_count"];
                let of_current = suffixes.iter().any(|s| name.strip_suffix(s).is_some_and(|base| base == current));
                let family = if of_current { current.clone() } else { name.clone() };
                let labels = sample.series.labels().map(|(name, value)| (name.into_owned(), value.into_owned()));
                families.entry(family).or_default().add(name, labels.collect());
            }
            _ => {}
        }
    }
    Ok(families)
}

/// How many series each family has, most first.
fn cardinality(families: &BTreeMap<String, Family>) -> String {
    let total: usize = families.values().map(|family| family.series).sum();
    let mut rows: Vec<(&String, usize)> = families.iter().map(|(name, family)| (name, family.series)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut table = vec![["Metric", "Cardinality", "Percentage"].map(str::to_owned)];
    for (name, series) in rows {
        let percentage = 100.0 * series as f64 / total.max(1) as f64;
        table.push([name.clone(), series.to_string(), format!("{percentage:.2}%")]);
    }
    table.push(["Total".to_owned(), total.to_string(), "100%".to_owned()]);
    let widths = [0, 1, 2].map(|column| table.iter().map(|row| row[column].len()).max().unwrap_or(0) + PADDING);
    let line = |row: &[String; 3]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<String>() + "\n"
    };
    table.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_their_problems() {
        let body = b"# HELP a_b help\n# TYPE a_b counter\na_b 1\nfoo_milliseconds 3\nx{le=\"3\"} 3\nx{le=\"3\"} 4\n\
                     # TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 3\nh_count 3\nFooBar 3\n";
        let families = families(body).unwrap();
        let all = families.iter().flat_map(|(name, family)| {
            problems(name, family).into_iter().map(move |problem| format!("{name} {problem}"))
        });
        assert_eq!(
            all.collect::<Vec<_>>(),
            [
                "FooBar metric names should be written in 'snake_case' not 'camelCase'",
                "FooBar no help text",
                "a_b counter metrics should have \"_total\" suffix",
                "a_b metric names should not contain abbreviated units",
                "foo_milliseconds no help text",
                "foo_milliseconds use base unit \"seconds\" instead of \"milliseconds\"",
                "h no help text",
                "x metric not unique",
                "x no help text",
            ]
        );
        let table = cardinality(&families);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "Metric              Cardinality    Percentage    ");
        assert_eq!(lines[1], "h                   3              37.50%        ");
        assert_eq!(lines[6], "Total               8              100%          ");
    }
}
