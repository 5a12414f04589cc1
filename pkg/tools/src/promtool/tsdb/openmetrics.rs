//! `aion tools tsdb create-blocks-from openmetrics`.

use std::path::Path;

use block::{BlockId, BlockMeta};
use flags::{Flag, Parsed};
use labels::{Builder, Labels, METRIC_NAME};
use service::tool::Deps;
use textparse::{Entry, Format, Options, Parser, Sample};

use super::super::common::Outcome;
use super::super::server::pair;
use super::DATA_DIR;
use super::blocks::{Gathered, block_ms, dir_bytes};
use super::list::{HUMAN, row, table};
use crate::Error;

pub(super) const QUIET: Flag = Flag::switch("quiet", "Do not print created blocks.").short('q');
pub(super) const MAX_DURATION: Flag = Flag::duration(
    "max-block-duration",
    "2h",
    "Maximum duration created blocks may span. Anything less than 2h is ignored.",
)
.hidden();
pub(crate) const FLAGS: &[Flag] = &[
    HUMAN,
    QUIET,
    MAX_DURATION,
    Flag::text("label", "", "Label to attach to metrics. Can be specified multiple times.")
        .placeholder("<name=value>")
        .repeated(),
];

pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let path = Path::new(&parsed.args()[0]);
    let output = Path::new(parsed.args().get(1).map_or(DATA_DIR, String::as_str));
    let extra = parsed.list("label");
    let extra = extra.iter().filter(|text| !text.is_empty()).map(|text| pair("label", text));
    let extra: Vec<(&str, &str)> = extra.collect::<Result<_, _>>()?;
    let input = block::map_file(path)?;
    std::fs::create_dir_all(output).map_err(|e| Error::Failed(format!("create {}: {e}", output.display())))?;
    let Some((first, last)) = times(&input).map_err(Error::Failed)? else { return Ok(0) };
    let length = block_ms(parsed.duration_ms("max-block-duration"));
    let mut begin = first.div_euclid(length) * length;
    let mut with_header = true;
    while begin <= last {
        let end = begin.saturating_add(length);
        let (gathered, next) = gather(&input, begin, end, &extra).map_err(Error::Failed)?;
        if !gathered.is_empty() {
            let id = BlockId::new(deps.clock.now_ms().max(0) as u64, (deps.random)());
            let meta = gathered.write(output, id, BlockMeta::default())?;
            if !parsed.switch("quiet") {
                let bytes = dir_bytes(&output.join(id.to_string()));
                deps.print(&table(with_header, &[row(&meta, bytes, parsed.switch("human-readable"))]))?;
                with_header = false;
            }
        }
        let Some(next) = next else { break };
        begin = next.div_euclid(length) * length;
    }
    Ok(0)
}

/// Calls `each` with all samples and their times.
fn each_sample(input: &[u8], each: &mut dyn FnMut(&Sample<'_>, i64)) -> Result<(), String> {
    let mut parser = Parser::new(input, Format::OpenMetrics, Options::default()).map_err(|e| e.to_string())?;
    while let Some(entry) = parser.next().map_err(|e| e.to_string())? {
        let Entry::Sample(sample) = entry else { continue };
        let Some(time_ms) = sample.timestamp_ms else {
            return Err(format!("expected timestamp for series {}, got none", sample.series.name()));
        };
        each(&sample, time_ms);
    }
    Ok(())
}

/// Time of the first and of the last sample; `None` without any.
fn times(input: &[u8]) -> Result<Option<(i64, i64)>, String> {
    let mut times: Option<(i64, i64)> = None;
    each_sample(input, &mut |_, time| {
        let (first, last) = times.unwrap_or((time, time));
        times = Some((first.min(time), last.max(time)));
    })?;
    Ok(times)
}

/// The samples from `begin` on and before `end`, and the time of the first one behind them.
fn gather(input: &[u8], begin: i64, end: i64, extra: &[(&str, &str)]) -> Result<(Gathered, Option<i64>), String> {
    let (mut gathered, mut next, mut builder) = (Gathered::default(), None::<i64>, Builder::new());
    each_sample(input, &mut |sample, time| {
        if time >= end {
            next = Some(next.map_or(time, |next| next.min(time)));
        } else if time >= begin {
            builder.reset(&Labels::empty()).set(METRIC_NAME, &sample.series.name());
            for (name, value) in sample.series.labels() {
                builder.set(&name, &value);
            }
            for (name, value) in extra {
                builder.set(name, value);
            }
            gathered.float(builder.build(), time, sample.value);
        }
    })?;
    Ok((gathered, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_gathered_block_by_block() {
        let text = b"# TYPE a counter\na_total{x=\"1\"} 1 1.5\na_total{x=\"1\"} 2 7200\n# EOF\n";
        assert_eq!(times(text).unwrap(), Some((1500, 7_200_000)));
        let (gathered, next) = gather(text, 0, 7_200_000, &[("y", "2")]).unwrap();
        assert_eq!((gathered.series(), next), (1, Some(7_200_000)));
        let (gathered, next) = gather(text, 7_200_000, 14_400_000, &[]).unwrap();
        assert_eq!((gathered.series(), next), (1, None));
        assert!(times(b"a 1\n# EOF\n").unwrap_err().contains("expected timestamp for series a"));
        assert!(times(b"a 1 1\n").is_err());
    }
}
