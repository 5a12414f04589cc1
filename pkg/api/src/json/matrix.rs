//! Range vectors: `[{"metric":{…},"values":[[t,"v"],…],"histograms":[[t,{…}],…]},…]`.

use std::vec::IntoIter;

use promql::{Grid, Matrix, MatrixSeries, Points, RangeSamples};

use super::points::{StepTimes, write_histogram_point, write_point, write_steps};
use super::produce::Produce;
use super::text::write_labels;

/// Writes a matrix series by series; each is dropped once written.
#[derive(Debug)]
pub struct MatrixJson {
    grid: Grid,
    times: StepTimes,
    series: IntoIter<MatrixSeries>,
    /// The series being written, and how far it is.
    current: Option<(MatrixSeries, Place)>,
    opened: bool,
    closed: bool,
    first: bool,
}

/// Where in a series the next piece begins.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// `"values":[` stands there.
    in_values: bool,
    /// Next bitmap word of a step column, next sample of a sample column.
    float: usize,
    /// The floats are complete.
    floats_done: bool,
    histogram: usize,
}

impl MatrixJson {
    /// Ready to write `matrix` from its beginning.
    pub fn new(matrix: Matrix) -> Self {
        let longest = |s: &MatrixSeries| match &s.points {
            Points::Steps(column) => column.steps(),
            Points::Samples(_) => 0,
        };
        let steps = matrix.series.iter().map(longest).max().unwrap_or(0);
        Self {
            grid: matrix.grid,
            times: StepTimes::new(matrix.grid, steps),
            series: matrix.series.into_iter(),
            current: None,
            opened: false,
            closed: false,
            first: true,
        }
    }

    /// Writes on in `series`; true when it is complete.
    fn write(&self, out: &mut Vec<u8>, series: &MatrixSeries, place: &mut Place, full: usize) -> bool {
        if !place.floats_done {
            let (next, done) = match &series.points {
                Points::Steps(column) => {
                    debug_assert!(column.steps() <= self.times.len());
                    // Up to the last word that has a sample, so that who writes the last sample knows it.
                    let words = column.present.iter().rposition(|w| *w != 0).map_or(0, |at| at + 1);
                    self.open_values(out, place, words > 0);
                    let next = write_steps(out, &self.times, column, place.float..words, full);
                    (next, next >= words)
                }
                Points::Samples(RangeSamples { floats: column, .. }) => {
                    self.open_values(out, place, !column.is_empty());
                    let mut next = place.float;
                    while next < column.len() && out.len() < full {
                        write_point(out, column.times[next], column.values[next]);
                        out.push(b',');
                        next += 1;
                    }
                    (next, next >= column.len())
                }
            };
            place.float = next;
            if !done {
                return false;
            }
            place.floats_done = true;
            if place.in_values {
                // In place of the comma after the last sample.
                out.pop();
                out.push(b']');
            }
        }
        let count = match &series.points {
            Points::Steps(column) => column.native_histograms.len(),
            Points::Samples(samples) => samples.histograms.len(),
        };
        while place.histogram < count {
            if out.len() >= full {
                return false;
            }
            out.extend_from_slice(if place.histogram == 0 { b",\"histograms\":[" } else { b"," });
            let (time_ms, histogram) = match &series.points {
                Points::Steps(column) => {
                    let (step, histogram) = &column.native_histograms[place.histogram];
                    (self.grid.time(*step as usize), histogram)
                }
                Points::Samples(samples) => {
                    let (time_ms, histogram) = &samples.histograms[place.histogram];
                    (*time_ms, histogram)
                }
            };
            write_histogram_point(out, time_ms, histogram);
            place.histogram += 1;
        }
        if count > 0 {
            out.push(b']');
        }
        out.push(b'}');
        true
    }

    fn open_values(&self, out: &mut Vec<u8>, place: &mut Place, any: bool) {
        if any && !place.in_values {
            place.in_values = true;
            out.extend_from_slice(b",\"values\":[");
        }
    }
}

impl Produce for MatrixJson {
    fn produce(&mut self, out: &mut Vec<u8>, full: usize) -> bool {
        if self.closed {
            return false;
        }
        if !self.opened {
            self.opened = true;
            out.push(b'[');
        }
        while out.len() < full {
            let (series, mut place) = match self.current.take() {
                Some(current) => current,
                None => {
                    let Some(series) = self.series.next() else {
                        self.closed = true;
                        out.push(b']');
                        break;
                    };
                    if !self.first {
                        out.push(b',');
                    }
                    self.first = false;
                    out.extend_from_slice(b"{\"metric\":");
                    write_labels(out, &series.labels);
                    (series, Place::default())
                }
            };
            if !self.write(out, &series, &mut place, full) {
                self.current = Some((series, place));
                break;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chunkenc::Column;
    use histogram::FloatHistogram;
    use labels::Labels;
    use promql::StepColumn;

    use super::*;
    use crate::json::whole;

    fn steps(steps: usize, present: impl Fn(usize) -> bool) -> Points {
        let mut column = StepColumn::absent(steps);
        for i in (0..steps).filter(|i| present(*i)) {
            column.set(i, i as f64 + 0.5);
        }
        Points::Steps(column)
    }

    fn series(name: &str, points: Points) -> MatrixSeries {
        MatrixSeries { labels: Labels::from_pairs([("__name__", name)]), points }
    }

    fn grid(steps: i64) -> Grid {
        Grid { start_ms: 10_000, end_ms: 10_000 + (steps - 1) * 500, step_ms: 500 }
    }

    #[test]
    fn expected_text() {
        let mut both = StepColumn::absent(3);
        both.set(0, 1.0);
        both.native_histograms = vec![
            (1, Arc::new(FloatHistogram { count: 2.0, sum: 3.5, ..FloatHistogram::default() })),
            (2, Arc::new(FloatHistogram { count: 4.0, sum: 5.0, ..FloatHistogram::default() })),
        ];
        let mut only = both.clone();
        only.unset(0);
        let matrix = || Matrix {
            grid: grid(3),
            series: vec![
                series("a", steps(3, |_| true)),
                series("b", steps(3, |i| i == 1)),
                series("c", steps(3, |_| false)),
                series("d", Points::Samples(Column { times: vec![1, 2000], values: vec![1.0, f64::NAN] }.into())),
                series("e", Points::Steps(both.clone())),
                series("f", Points::Steps(only.clone())),
            ],
        };
        let expected = concat!(
            r#"[{"metric":{"__name__":"a"},"values":[[10,"0.5"],[10.500,"1.5"],[11,"2.5"]]},"#,
            r#"{"metric":{"__name__":"b"},"values":[[10.500,"1.5"]]},"#,
            r#"{"metric":{"__name__":"c"}},"#,
            r#"{"metric":{"__name__":"d"},"values":[[0.001,"1"],[2,"NaN"]]},"#,
            r#"{"metric":{"__name__":"e"},"values":[[10,"1"]],"histograms":[[10.500,{"count":"2","sum":"3.5"}],"#,
            r#"[11,{"count":"4","sum":"5"}]]},"#,
            r#"{"metric":{"__name__":"f"},"histograms":[[10.500,{"count":"2","sum":"3.5"}],"#,
            r#"[11,{"count":"4","sum":"5"}]]}]"#,
        );
        assert_eq!(whole(MatrixJson::new(matrix()), 1 << 20), expected);
        for full in 1..60 {
            assert_eq!(whole(MatrixJson::new(matrix()), full), expected, "pieces of {full}");
        }
        assert_eq!(whole(MatrixJson::new(Matrix { grid: grid(3), series: vec![] }), 100), "[]");
    }

    #[test]
    fn pieces_of_any_size_make_the_whole() {
        let matrix = |n| Matrix {
            grid: grid(n as i64),
            series: vec![series("a", steps(n, |i| i % 3 != 0)), series("b", steps(n, |i| i < 64))],
        };
        for n in [1, 63, 64, 65, 128, 200] {
            let expected = whole(MatrixJson::new(matrix(n)), usize::MAX);
            serde_json::from_str::<serde_json::Value>(&expected).unwrap();
            for full in [1, 100, 1000, 2000] {
                assert_eq!(whole(MatrixJson::new(matrix(n)), full), expected, "{n} steps in pieces of {full}");
            }
        }
    }
}
