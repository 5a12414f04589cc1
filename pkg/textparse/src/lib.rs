//! What targets answer a scrape with: the text format, OpenMetrics, delimited protobuf. Bytes to entries, no allocation
//! per sample.
