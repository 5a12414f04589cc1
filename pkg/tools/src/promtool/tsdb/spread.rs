//! How numbers are spread, as a histogram of text.

/// Lines for `numbers`, which are a part of `total` things; a `#` for each percent of them. Empty without numbers.
pub(super) fn spread(what: &str, mut numbers: Vec<u64>, total: usize) -> String {
    numbers.sort_unstable();
    let (Some(&min), Some(&max)) = (numbers.first(), numbers.last()) else { return String::new() };
    let (start, end, step) = buckets(min, max);
    let mut counts = vec![0_usize; ((end - start) / step + 1) as usize];
    for number in &numbers {
        counts[((number - start) / step) as usize] += 1;
    }
    let sum: u64 = numbers.iter().sum();
    let mut out = format!("{what} (min/avg/max): {min}/{}/{max}\n", sum / numbers.len() as u64);
    let (left, right) = (end.to_string().len(), (end + step).to_string().len());
    let width = counts.iter().max().unwrap_or(&0).to_string().len();
    for (at, count) in counts.iter().enumerate() {
        let (from, to) = (at as u64 * step + start + 1, (at as u64 + 1) * step + start);
        let bar = "#".repeat(100 * count / total.max(1));
        out.push_str(&format!("[{from:left$}, {to:right$}]: {count:width$} {bar}\n"));
    }
    out.push('\n');
    out
}

/// About ten steps of a power of ten.
fn buckets(min: u64, max: u64) -> (u64, u64, u64) {
    let wanted = (max - min) / 10;
    let mut step = 10;
    while step < wanted && step <= 10_000 {
        step *= 10;
    }
    (min - min % step, max - max % step + step, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(spread("x", vec![], 1), "");
        assert_eq!(
            spread("samples per chunk", vec![1, 2, 15], 3),
            "samples per chunk (min/avg/max): 1/6/15\n[ 1, 10]: 2 \
             ##################################################################\n[11, 20]: 1 \
             #################################\n[21, 30]: 0 \n\n"
        );
    }
}
