//! Writing piece by piece.

use std::sync::Arc;

use storage::Reservation;

/// A value that is written out piece by piece, so that a large answer is never one block of memory.
pub trait Produce: Send + 'static {
    /// Appends the next piece, which may be empty, to `out`, stopping soon after `out` has grown past `full`. False when
    /// there is no more; then nothing was appended.
    fn produce(&mut self, out: &mut Vec<u8>, full: usize) -> bool;
}

/// Data that counts in the request's budget until all of it is written.
#[derive(Debug)]
pub struct Counted<P> {
    data: P,
    _held: Option<Arc<Reservation>>,
}

impl<P> Counted<P> {
    /// `data`, with what it holds of a budget.
    pub fn new(data: P, held: Option<Arc<Reservation>>) -> Self {
        Self { data, _held: held }
    }
}

impl<P: Produce> Produce for Counted<P> {
    fn produce(&mut self, out: &mut Vec<u8>, full: usize) -> bool {
        self.data.produce(out, full)
    }
}

/// One piece, then no more.
#[derive(Debug)]
pub struct Once(pub Vec<u8>);

impl Produce for Once {
    fn produce(&mut self, out: &mut Vec<u8>, _: usize) -> bool {
        if self.0.is_empty() {
            return false;
        }
        out.append(&mut self.0);
        true
    }
}

#[cfg(test)]
pub(crate) fn whole(mut producer: impl Produce, full: usize) -> String {
    let mut all = Vec::new();
    loop {
        let mut piece = Vec::new();
        if !producer.produce(&mut piece, full) {
            return String::from_utf8(all).unwrap();
        }
        all.append(&mut piece);
    }
}
