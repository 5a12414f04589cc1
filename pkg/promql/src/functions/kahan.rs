//! Compensated summation (Kahan, Neumaier's variant), as Prometheus sums.

/// `sum + inc` with the running compensation `c`; gives the new pair.
#[inline(always)]
pub(crate) fn add(inc: f64, sum: f64, c: f64) -> (f64, f64) {
    let t = sum + inc;
    let c = if t.is_infinite() {
        0.0
    } else if sum.abs() >= inc.abs() {
        c + ((sum - t) + inc)
    } else {
        c + ((inc - t) + sum)
    };
    (t, c)
}

/// [`add`] of each of `incs` to the sum beside it, with the compensation `lost`, many at a time.
pub(crate) fn add_each(incs: &[f64], sums: &mut [f64], lost: &mut [f64]) {
    for ((inc, sum), c) in incs.iter().zip(sums).zip(lost) {
        let t = *sum + *inc;
        // What the sum lost, exactly, whichever of both is the larger one (Knuth's two-sum).
        let added = t - *sum;
        let error = (*sum - (t - added)) + (*inc - added);
        *c = if t.abs() == f64::INFINITY { 0.0 } else { *c + error };
        *sum = t;
    }
}

/// The sum with Neumaier's compensation, as Prometheus calculates it.
pub(crate) fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut c) = (0.0, 0.0);
    for v in values {
        (sum, c) = add(*v, sum, c);
    }
    if sum.is_infinite() { sum } else { sum + c }
}

/// The mean of at least one value: by the sum as long as that does not overflow, incrementally from there.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let mut mean = Mean::default();
    for v in values {
        mean.push(*v);
    }
    mean.value()
}

/// A mean that is compensated too, and does not overflow while the mean itself does not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    /// The sum, or the mean itself once the sum overflowed.
    sum: f64,
    c: f64,
    count: f64,
    incremental: bool,
}

impl Mean {
    #[inline]
    pub fn push(&mut self, v: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = v;
            return;
        }
        if !self.incremental {
            let (sum, c) = add(v, self.sum, self.c);
            if !sum.is_infinite() {
                (self.sum, self.c) = (sum, c);
                return;
            }
            self.incremental = true;
            self.sum /= self.count - 1.0;
            self.c /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        (self.sum, self.c) = add(v / self.count, q * self.sum, q * self.c);
    }

    pub fn value(&self) -> f64 {
        if self.incremental { self.sum + self.c } else { self.sum / self.count + self.c / self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_a_time_are_as_one_by_one() {
        let odd = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            1e100,
            -1e100,
            3e-300,
            1.7e308,
            -1.7e308,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        let (mut incs, mut sums, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for inc in odd {
            for sum in odd {
                for c in [0.0, 0.25, -1e-20] {
                    incs.push(inc);
                    sums.push(sum);
                    lost.push(c);
                }
            }
        }
        let want: Vec<(f64, f64)> = (0..incs.len()).map(|i| add(incs[i], sums[i], lost[i])).collect();
        add_each(&incs, &mut sums, &mut lost);
        for (i, (sum, c)) in want.iter().enumerate() {
            let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
            assert!(same(sums[i], *sum) && same(lost[i], *c), "{i}: {} {} {sum} {c}", sums[i], lost[i]);
        }
    }
}
