//! Time, durations, staleness, clock, annotations.
