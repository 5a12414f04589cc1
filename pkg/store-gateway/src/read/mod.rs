//! Reading one block by ranges: postings, then series entries, then chunks. Postings and series of a small index are read at
//! once, and kept. Each step is one round of requests that run at the same time; their bodies are read as their bytes are
//! needed. What was longer than guessed, or arrived corrupt, costs one more request.

mod chunks;
mod fetch;
mod gone;
mod index;
mod names;
mod options;
mod order;
mod pace;
mod postings;
mod projected;
mod run;
mod series;
mod stream;

pub(crate) use fetch::{FetchOptions, get_clamped, replaced};
pub(crate) use names::{LabelsOf, Names};
pub(crate) use options::ReadOptions;
pub(crate) use pace::Pace;
pub use pace::PaceOptions;
pub(crate) use stream::{Wanted, stream};
