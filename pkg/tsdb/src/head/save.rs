//! The chunks that are in no file, for a start that need not make them of the log again.

use super::Head;
use super::open::Open;
use crate::open_chunks::{Error, SavedWriter};

impl Head {
    /// A mark behind all commits that began so far, for [`Head::is_applied`].
    pub fn commits(&self) -> u64 {
        self.core.in_flight.mark()
    }

    /// Whether all that commits before the mark have logged is in the series.
    pub fn is_applied(&self, mark: u64) -> bool {
        self.core.in_flight.is_past(mark)
    }

    /// Writes all chunks that are in no file yet. Samples may be written meanwhile.
    ///
    /// # Errors
    /// [`Error`]; what was written is not to be finished then.
    pub fn save_open_chunks(&self, writer: &mut SavedWriter) -> Result<(), Error> {
        let core = &self.core;
        for slot in 0..core.slab.end() {
            let Some(series) = core.slab.lock(slot) else { continue };
            let behind = series.mapped.last();
            let of = (series.reference, behind.map_or(0, |mapped| mapped.reference));
            series.full().iter().for_each(|full| writer.chunk(of, &full.chunk()));
            match &series.open {
                Open::Xor(open) if !open.state.is_empty() => {
                    let times_ms = (open.first_time, open.state.last_time());
                    writer.growing(of, times_ms, (&open.state, &open.buffer), open.cut_at);
                }
                open => match open.chunk(open.len()).map_err(|e| Error::Series(of.0, e))? {
                    Some(chunk) => writer.chunk(of, &chunk),
                    None => behind.into_iter().for_each(|last| writer.nothing(of, (last.min_time, last.max_time()))),
                },
            }
            drop(series);
            writer.flush()?;
        }
        Ok(())
    }
}
