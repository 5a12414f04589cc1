//! Reading one block by ranges: postings, then series entries, then chunks. Each step is one round of requests that run
//! at the same time; what was longer than guessed, or arrived corrupt, costs one more.

mod chunks;
mod fetch;
mod gone;
mod names;
mod options;
mod order;
mod postings;
mod series;
mod stream;

pub(crate) use fetch::{FetchOptions, JoinRule, get_clamped, replaced};
pub(crate) use names::{LabelsOf, Names};
pub(crate) use options::ReadOptions;
pub(crate) use stream::{Wanted, stream};
