//! Which process works on what: leases in the bucket, each a [`register::Register`] of its own.
//!
//! The holder of a lease is the process that wrote the newest version of its register, until it gives the lease up or has
//! not renewed it for its time to live. Each step of the holder is a change of the register. So a holder that stood still,
//! counted as dead and comes back finds its next change refused. Time only decides when other processes try; that there
//! is one winner follows from the register alone, whatever the clocks say.
//!
//! What a holder has decided stands in the lease ([`entry::Entry::commit`]). If the holder dies, the next one carries it out.
//! `docs/lease-protocol.md` has the whole protocol.

mod entry;
mod held;
mod leases;
mod register;
mod shared;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use entry::LEASES_DIR;
pub(crate) use entry::{CLOCK_SKEW_MS, LeaseError, LeaseOptions, Listed};
pub(crate) use held::Lease;
pub(crate) use leases::{Claim, Leases};
