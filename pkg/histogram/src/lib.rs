//! Native histograms.
