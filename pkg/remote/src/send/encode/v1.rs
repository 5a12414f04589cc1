//! `prometheus.WriteRequest`.

use model::MetricMetadata;

use super::put::{double, label, number, part};
use super::{histogram, type_number, type_of};
use crate::send::rewrite::Rewrites;
use crate::send::rows::{Row, Value};
use crate::send::series::Known;

#[derive(Debug, Default)]
pub(super) struct Buffers {
    out: Vec<u8>,
    series: Vec<u8>,
    row: Vec<u8>,
    labels: Vec<u32>,
}

impl Buffers {
    /// A request with the rows of each series together.
    pub fn encode<'r, G>(&mut self, groups: impl Iterator<Item = G>, rewrites: &Rewrites, known: &Known) -> &[u8]
    where
        G: Iterator<Item = &'r Row> + Clone,
    {
        self.out.clear();
        for group in groups {
            let Some(first) = group.clone().next() else { continue };
            if !rewrites.put(known, first.series, &mut self.labels) {
                continue;
            }
            self.series.clear();
            for (name, value) in known.pairs(&self.labels) {
                label(&mut self.series, 1, name, value);
            }
            for row in group {
                self.row(row);
            }
            part(&mut self.out, 1, &self.series);
        }
        &self.out
    }

    fn row(&mut self, row: &Row) {
        self.row.clear();
        let field = match &row.value {
            Value::Float(value) => {
                double(&mut self.row, 1, *value);
                number(&mut self.row, 2, row.time_ms as u64);
                2
            }
            Value::Exemplar(exemplar) => {
                for (name, value) in &exemplar.1 {
                    label(&mut self.row, 1, name, value);
                }
                double(&mut self.row, 2, exemplar.0);
                number(&mut self.row, 3, row.time_ms as u64);
                3
            }
            Value::Histogram(value) => {
                histogram::put(&mut self.row, value, row.time_ms, 0);
                4
            }
        };
        part(&mut self.series, field, &self.row);
    }
}

/// A request with metadata of metric families.
pub(in crate::send) fn metadata_request<'m>(all: impl Iterator<Item = (&'m str, &'m MetricMetadata)>) -> Vec<u8> {
    let (mut out, mut one) = (Vec::new(), Vec::new());
    for (family, metadata) in all {
        one.clear();
        number(&mut one, 1, type_number(type_of(&metadata.metric_type)));
        part(&mut one, 2, family.as_bytes());
        part(&mut one, 4, metadata.help.as_bytes());
        part(&mut one, 5, metadata.unit.as_bytes());
        part(&mut out, 3, &one);
    }
    out
}
