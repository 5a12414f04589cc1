//! `tools bucket inspect`: the blocks, in a table for people.

use std::cmp::Ordering;
use std::sync::Arc;

use ::bucket::View;
use block::BlockMeta;
use flags::{Flag, Kind, Parsed};
use model::Resolution;
use service::tool::{Deps, Verdict};

use super::common;
use crate::Error;
use crate::output::{Format, Rows, format_duration, format_thousands, format_time_s};

pub(super) const ABOUT: &str = "Inspect all blocks in the bucket in detailed, table-like way.";
pub(super) const SHORTS: &[(char, &str)] = &[('l', "selector"), ('o', "output")];

const COLUMNS: [&str; 13] = [
    "ULID",
    "FROM",
    "UNTIL",
    "RANGE",
    "UNTIL-DOWN",
    "#SERIES",
    "#SAMPLES",
    "#CHUNKS",
    "COMP-LEVEL",
    "COMP-FAILED",
    "LABELS",
    "RESOLUTION",
    "SOURCE",
];
/// What only the wide form and those for programs have.
const MORE_COLUMNS: [&str; 5] = ["GROUP", "UPLOADED", "BYTES", "MARKS", "STATE"];

/// A block that spans so much is downsampled to 5 m, ms.
const DOWNSAMPLE_5M_RANGE_MS: i64 = 40 * 3_600_000;
/// A block of 5 m that spans so much is downsampled to 1 h, ms.
const DOWNSAMPLE_1H_RANGE_MS: i64 = 10 * 24 * 3_600_000;

pub(super) const FLAGS: &[&[Flag]] = &[&[
    Flag::text(
        "selector",
        "",
        "Selects blocks based on label (-l), e.g. '-l key1=\\\"value1\\\" -l key2=\\\"value2\\\"'. All key value pairs must match.",
    )
    .placeholder("<name>=\\\"<value>\\\"")
    .repeated(),
    Flag::new(
        "sort-by",
        Kind::Word(&COLUMNS),
        "",
        "Sort by columns. It's also possible to sort by multiple columns, e.g. '--sort-by FROM --sort-by UNTIL'. I.e., if the 'FROM' value is equal the rows are then further sorted by the 'UNTIL' value. Default: FROM, then UNTIL.",
    )
    .placeholder("FROM...")
    .repeated(),
    Flag::duration("timeout", "5m", "Timeout to download metadata from remote storage."),
    Flag::word("output", Format::WORDS, "table", "Output format for result (-o)."),
]];

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let wanted = common::label_pairs(parsed, "selector")?;
    let format = common::format(parsed);
    let bucket = common::open_bucket(parsed, deps)?;
    let view = common::view(&bucket, 32, parsed.duration_ms("timeout"), deps).await?;
    let is_wanted = |meta: &&Arc<BlockMeta>| {
        let labels = meta.thanos.as_ref().map(|t| &t.labels);
        wanted.iter().all(|(name, value)| labels.and_then(|l| l.get(name)).is_some_and(|v| v == value))
    };
    let mut rows = rows(view.metas.values().filter(is_wanted), &view, format);
    let mut by = parsed.list("sort-by");
    if by.is_empty() {
        by = vec!["FROM".to_owned(), "UNTIL".to_owned()];
    }
    let by: Vec<usize> = by.iter().filter_map(|name| COLUMNS.iter().position(|c| c == name)).collect();
    rows.rows.sort_by(|a, b| compare(a, b, &by));
    deps.print(&rows.render(format))?;
    for (id, why) in &view.partial {
        tracing::warn!(block = %id, partial = ?why, "block is not whole");
    }
    Ok(Verdict::of(common::warn_of_unknown(&view)))
}

/// One row for each block; with more columns where there is room.
pub(super) fn rows<'a>(metas: impl Iterator<Item = &'a Arc<BlockMeta>>, view: &View, format: Format) -> Rows {
    let more = !matches!(format, Format::Table | Format::Csv | Format::Tsv);
    let mut header = COLUMNS.to_vec();
    header.extend(MORE_COLUMNS.iter().filter(|_| more));
    // programs add numbers up
    let number = |n: u64| if format.is_text() { format_thousands(n) } else { n.to_string() };
    let row = |meta: &Arc<BlockMeta>| {
        let thanos = meta.thanos.clone().unwrap_or_default();
        let labels: Vec<String> = thanos.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let range_ms = meta.max_time.saturating_sub(meta.min_time);
        let mut cells = vec![
            meta.ulid.to_string(),
            format_time_s(meta.min_time),
            format_time_s(meta.max_time),
            format_duration(range_ms),
            until_downsampling(meta.resolution_ms(), range_ms),
            number(meta.stats.num_series),
            number(meta.stats.num_samples),
            number(meta.stats.num_chunks),
            meta.compaction.level.to_string(),
            meta.compaction.failed.to_string(),
            labels.join(","),
            format_duration(meta.resolution_ms()),
            thanos.source.clone(),
        ];
        if more {
            cells.extend(more_cells(meta, &thanos, view));
        }
        cells
    };
    Rows { header, rows: metas.map(row).collect() }
}

fn more_cells(meta: &BlockMeta, thanos: &block::ThanosMeta, view: &View) -> [String; 5] {
    let objects = view.objects.get(&meta.ulid);
    let marks = objects.map(|o| {
        let there = [
            (o.deletion_mark().is_some(), "deletion"),
            (o.no_compact_mark().is_some(), "no-compact"),
            (o.no_downsample_mark().is_some(), "no-downsample"),
        ];
        there.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    });
    [
        meta.group_key(),
        thanos.upload_time_ms().map_or_else(|| "-".to_owned(), format_time_s),
        objects.map_or(0, ::bucket::BlockObjects::size_bytes).to_string(),
        marks.filter(|m| !m.is_empty()).unwrap_or_else(|| "-".to_owned()),
        view.broken.get(&meta.ulid).cloned().unwrap_or_else(|| "complete".to_owned()),
    ]
}

/// By how much a block must grow to be downsampled.
fn until_downsampling(resolution_ms: i64, range_ms: i64) -> String {
    match Resolution::from_ms(resolution_ms) {
        Some(Resolution::Raw) => format_duration(DOWNSAMPLE_5M_RANGE_MS.saturating_sub(range_ms)),
        Some(Resolution::FiveMinutes) => format_duration(DOWNSAMPLE_1H_RANGE_MS.saturating_sub(range_ms)),
        _ => "-".to_owned(),
    }
}

fn compare(a: &[String], b: &[String], by: &[usize]) -> Ordering {
    let columns = by.iter().copied().chain([0]);
    columns.map(|column| compare_cells(&a[column], &b[column])).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// Lengths of time and numbers by their size, all else by its text. RFC 3339 times of one zone sort as texts.
fn compare_cells(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.replace(',', "").parse::<u64>().ok();
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return a.cmp(&b);
    }
    if let (Ok(a), Ok(b)) = (flags::parse_go_duration(a), flags::parse_go_duration(b)) {
        return a.cmp(&b);
    }
    a.cmp(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_compare_by_their_meaning() {
        for (less, more) in [
            ("9", "1,000"),
            ("2h0m0s", "10h0m0s"),
            ("-1h0m0s", "5m0s"),
            ("2026-11-20T16:00:00Z", "2026-11-20T17:00:00Z"),
            ("a", "b"),
        ] {
            assert_eq!(compare_cells(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(compare_cells(more, less), Ordering::Greater, "{less} {more}");
        }
    }

    #[test]
    fn time_left_until_downsampling() {
        assert_eq!(until_downsampling(0, 7_200_000), "38h0m0s");
        assert_eq!(until_downsampling(300_000, 1_209_600_000), "-96h0m0s");
        assert_eq!(until_downsampling(3_600_000, 0), "-");
    }
}
