//! The blocks of a data directory, without a head.

mod checkpoints;
mod common;
mod copies;
mod damage;
mod deletion;
mod merging;
mod starts;
mod stopped;
