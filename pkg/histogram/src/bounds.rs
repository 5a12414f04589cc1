//! Where exponential buckets begin and end.

use std::sync::LazyLock;

/// The finest schema: 2⁸ buckets for each power of two.
const FINEST: u32 = 8;

/// Bounds of schema 8 in [0.5, 1); those of coarser schemas are among them.
///
/// Most are not the floats nearest to the powers of two: writers and readers agree on what comes of the refinement from
/// [½, 1/√2], where each bound between two is the left one times the schema's factor.
static FRACTIONS: LazyLock<[f64; 1 << FINEST]> = LazyLock::new(|| {
    let mut bounds = [0.5; 1 << FINEST];
    let mut factor = 2f64.sqrt();
    bounds[1 << (FINEST - 1)] = 1.0 / factor;
    for schema in 2..=FINEST {
        factor = factor.sqrt();
        let step = 1 << (FINEST - schema);
        for at in (step..bounds.len()).step_by(2 * step) {
            bounds[at] = bounds[at - step] * factor;
        }
    }
    bounds
});

/// The upper bound of a positive bucket of an exponential schema (−4 … 8); the bucket begins above the bound of the one
/// before. The last bucket of finite numbers ends at the largest of them, the one after it at +Inf.
pub fn upper_bound(index: i32, schema: i32) -> f64 {
    let (fraction, exponent) = if schema < 0 {
        (0.5, i64::from(index) * (1 << (-schema).min(16)) + 1)
    } else {
        let schema = (schema as u32).min(FINEST);
        let place = (index & ((1 << schema) - 1)) as usize;
        (FRACTIONS[place << (FINEST - schema)], i64::from(index >> schema) + 1)
    };
    if fraction == 0.5 && exponent == 1025 {
        return f64::MAX;
    }
    scale(fraction, exponent)
}

/// `fraction` · 2^`exponent`, with one rounding.
fn scale(fraction: f64, exponent: i64) -> f64 {
    // Of exponents within those of normal numbers.
    let power = |e: i64| f64::from_bits(((e + 1023) as u64) << 52);
    match exponent {
        ..=-1101 => 0.0,
        1025.. => f64::INFINITY,
        // In two exact steps and one that may round.
        -1100..=-1000 => fraction * power(100) * power(exponent + 500 - 100) * power(-500),
        1000..=1024 => fraction * power(500) * power(exponent - 500),
        _ => fraction * power(exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        for (index, schema, bound) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (1, -2, 16.0),
            (-1, -4, 2f64.powi(-16)),
            (64, -4, f64::MAX),
            (65, -4, f64::INFINITY),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (1, 1, std::f64::consts::SQRT_2 - f64::EPSILON),
            // 0.6484197773255048 and 0.9170040432046711 are known of schema 3.
            (3, 3, 2.0 * 0.6484197773255048),
            (7, 3, 2.0 * 0.9170040432046711),
            (-1, 3, 0.9170040432046711),
            // 0.9973037088069655 would be the last one of schema 8, computed otherwise.
            (0, 8, 1.0),
            (-1074, 0, f64::from_bits(1)),
            (-1075, 0, 0.0),
        ] {
            assert_eq!(upper_bound(index, schema), bound, "bucket {index} of schema {schema}");
        }
        let ascend = (-600..600).map(|i| upper_bound(i, 8)).collect::<Vec<_>>();
        assert!(ascend.windows(2).all(|w| w[0] < w[1]));
    }
}
