//! What a caller knows of the bodies before.

/// Series that were read before, by their bytes ([`Series::key`]): their names and labels need not be read again.
///
/// [`Series::key`]: crate::Series::key
pub trait Known {
    /// How many bytes the series has that is expected next, in a body of the same format as the one before; 0 = none is.
    fn expected_bytes(&self) -> usize {
        0
    }

    /// Whether these bytes are that series. It must have been read from a body of the same format. If so, nothing more is
    /// asked about it.
    fn is_expected(&mut self, _key: &[u8]) -> bool {
        false
    }

    /// Whether a series with these bytes was read before. Asked at most once for each series.
    fn is_known(&mut self, key: &[u8]) -> bool;
}

impl<F: FnMut(&[u8]) -> bool> Known for F {
    fn is_known(&mut self, key: &[u8]) -> bool {
        self(key)
    }
}
