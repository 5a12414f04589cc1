//! The places where a test may stop a compactor.

/// All names that the compactor, the merges and the deletions it runs give to [`service::Failpoints`], in the order of
/// the work.
pub fn failpoints() -> &'static [&'static str] {
    &[
        "merge.after_inputs",
        "merge.after_segment",
        "merge.after_chunks",
        "merge.after_index",
        "compact.before_commit",
        "compact.after_commit",
        "compact.after_meta",
        "compact.after_mark",
        "compact.before_done",
        "delete.after_meta",
        "delete.after_object",
        "delete.before_mark",
    ]
}
