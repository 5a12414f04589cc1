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
