//! `aion tools tsdb list`.

use block::BlockMeta;
use flags::{Flag, Parsed};
use service::tool::Deps;

use super::super::common::Outcome;
use super::open;
use crate::output::format_duration;

pub(crate) const HUMAN: Flag = Flag::switch("human-readable", "Print human readable values.").short('r');
pub(crate) const FLAGS: &[Flag] = &[HUMAN];

const HEADER: [&str; 8] =
    ["BLOCK ULID", "MIN TIME", "MAX TIME", "DURATION", "NUM SAMPLES", "NUM CHUNKS", "NUM SERIES", "SIZE"];
/// Columns are this wide, or as wide as their cells with so much space behind them.
const WIDTH_MIN: usize = 13;
const SPACE: usize = 2;

pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let opened = open(parsed, false, deps)?;
    let human = parsed.switch("human-readable");
    let rows: Vec<_> = opened.blocks().map(|(block, bytes)| row(block.meta(), bytes, human)).collect();
    deps.print(&table(true, &rows))?;
    Ok(u8::from(!opened.unreadable().is_empty()))
}

/// The cells of a block.
pub(super) fn row(meta: &BlockMeta, bytes: u64, human: bool) -> [String; 8] {
    let time = |ms: i64| if human { go_time(ms) } else { ms.to_string() };
    [
        meta.ulid.to_string(),
        time(meta.min_time),
        time(meta.max_time),
        format_duration(meta.max_time.saturating_sub(meta.min_time)),
        meta.stats.num_samples.to_string(),
        meta.stats.num_chunks.to_string(),
        meta.stats.num_series.to_string(),
        if human { binary_size(bytes) } else { bytes.to_string() },
    ]
}

/// Rows in columns, with or without a header.
pub(super) fn table(with_header: bool, rows: &[[String; 8]]) -> String {
    let header = HEADER.map(str::to_owned);
    let all: Vec<&[String; 8]> = with_header.then_some(&header).into_iter().chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].len() + SPACE).max().unwrap_or(0).max(WIDTH_MIN);
    let widths: Vec<usize> = (0..HEADER.len() - 1).map(width).collect();
    let mut out = String::new();
    for row in all {
        for (cell, width) in row.iter().zip(&widths) {
            out.push_str(&format!("{cell:width$}"));
        }
        out.push_str(&row[HEADER.len() - 1]);
        out.push('\n');
    }
    out
}

/// `2026-11-20 16:00:00 +0000 UTC`.
fn go_time(ms: i64) -> String {
    let text = crate::output::format_time_s(ms);
    text.replace('T', " ").replace('Z', " +0000 UTC")
}

/// `1MiB34KiB5B`, as Go's `units.Base2Bytes` prints it.
fn binary_size(bytes: u64) -> String {
    let mut parts = Vec::new();
    let mut left = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if !left.is_multiple_of(1024) || bytes == 0 {
            parts.push(format!("{}{unit}", left % 1024));
        }
        left /= 1024;
        if left == 0 {
            break;
        }
    }
    parts.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (bytes, text) in [(0, "0B"), (5, "5B"), (1024, "1KiB"), (1_083_397, "1MiB34KiB5B")] {
            assert_eq!(binary_size(bytes), text);
        }
        assert_eq!(go_time(1_795_190_400_000), "2026-11-20 16:00:00 +0000 UTC");
        let cells = ["01M7XNEDBRHMVA77T71GPE1DE5", "1", "2", "1ms", "3", "4", "5", "6"].map(str::to_owned);
        let text = table(true, &[cells]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("MIN TIME"), Some(28));
        assert!(lines[1].starts_with("01M7XNEDBRHMVA77T71GPE1DE5  1            2            1ms"), "{text}");
    }
}
