//! Recording rules.

use std::collections::HashSet;

use labels::Builder;

use super::{Evaluation, check_limit, note_warnings};
use crate::file::RuleSpec;
use crate::query::{Asked, RuleError};
use crate::series::{RowValue, Rows};

/// The series that the rule gives for an answer, with its name and labels.
///
/// # Errors
/// Two series are the same, or there are too many.
pub(super) fn rows(spec: &RuleSpec, asked: Asked, cx: &Evaluation<'_>) -> Result<Rows, RuleError> {
    note_warnings(cx, &spec.name, &asked.warnings);
    // Before anything is made of a result that may be large.
    check_limit(cx.options.series_max, asked.samples.len(), "series")?;
    let mut rows = Rows::default();
    let mut builder = Builder::new();
    for sample in asked.samples {
        builder.reset(&sample.labels);
        spec.set_recorded(&mut builder);
        let value = match sample.histogram {
            Some(histogram) => RowValue::Histogram(histogram),
            None => RowValue::Float(sample.value),
        };
        rows.push(builder.build(), value);
    }
    let mut seen = HashSet::with_capacity(rows.len());
    if rows.len() > 1 && !rows.labels.iter().all(|labels| seen.insert(labels)) {
        return Err(RuleError::Duplicate("rule"));
    }
    check_limit(cx.limit(), rows.len(), "series")?;
    Ok(rows)
}
