//! The read seam.
