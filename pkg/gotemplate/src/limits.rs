//! How much a template may do.

/// Limits of one rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the output, and of each string on the way.
    pub output_bytes_max: usize,
    /// How many units of [`Work`] may be done: about a tenth of a microsecond each.
    pub work_max: u64,
    /// How deep templates may call templates.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes_max: 1 << 20, work_max: 5_000_000, depth_max: 100 }
    }
}

/// What a rendering has done so far. It stands for time, and is the same on every machine.
#[derive(Debug)]
pub struct Work {
    done: u64,
    limits: Limits,
}

impl Work {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { done: 0, limits }
    }

    /// Counts `units` of work.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn add(&mut self, units: u64) -> Result<(), String> {
        self.done = self.done.saturating_add(units);
        if self.done > self.limits.work_max {
            return Err(format!("the template runs too long: more than {} steps", self.limits.work_max));
        }
        Ok(())
    }

    /// Counts the work of making or reading a string of so many bytes.
    ///
    /// # Errors
    /// The string is longer than any may be, or the limit is reached.
    pub fn add_bytes(&mut self, bytes: usize) -> Result<(), String> {
        if bytes > self.limits.output_bytes_max {
            return Err(format!("a text of {bytes} bytes is over the limit of {}", self.limits.output_bytes_max));
        }
        self.add(1 + bytes as u64 / 64)
    }

    /// The limits that hold.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
