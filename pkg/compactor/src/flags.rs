//! The flags of `aion compact`: Thanos' names and defaults, its hidden ones too, and a few of our own.

use assembly::OBJSTORE;
use flags::{Command, Flag, Kind};
use transport::flags::{COMMON, HTTP};

const FROM_BUCKET: &str = "blocks are read from the bucket while they are merged";

const COMPACT: &[Flag] = &[
    Flag::text("data-dir", "./data", "Directory for what merges need locally: indexes and spools, never chunks; and for metas of blocks."),
    Flag::duration("consistency-delay", "30m", "How long after its upload a block is left alone, unless a compactor uploaded it. Partial uploads are removed when nothing was written to them for 48h."),
    Flag::duration("retention.resolution-raw", "0d", "How long raw samples are kept. 0d = for ever. A block is deleted only after the downsampled resolutions that are kept for longer have its data."),
    Flag::duration("retention.resolution-5m", "0d", "How long samples of resolution 5 minutes are kept. 0d = for ever."),
    Flag::duration("retention.resolution-1h", "0d", "How long samples of resolution 1 hour are kept. 0d = for ever."),
    Flag::switch("wait", "Keep running after all work is done, and check for more.").short('w'),
    Flag::duration("wait-interval", "5m", "Pause between two passes. Only with --wait."),
    Flag::switch("downsampling.disable", "Make no downsampled blocks. Queries of long ranges are slow then, and retention does not wait for downsampling."),
    Flag::word("block-discovery-strategy", &["concurrent", "recursive"], "concurrent", "How blocks are found: concurrent lists each block's directory, recursive lists all objects at once, which takes fewer calls. Unless given, recursive."),
    Flag::count("block-meta-fetch-concurrency", "32", "How many metas of blocks are fetched at a time."),
    Flag::count("block-files-concurrency", "1", "How many parts of one file are uploaded in parallel. 0 and 1 mean 2."),
    Flag::duration("block-viewer.global.sync-block-interval", "1m", "How old the list of blocks may become that the pages and the API show."),
    Flag::duration("block-viewer.global.sync-block-timeout", "5m", "Maximum time of one sync of that list."),
    Flag::duration("compact.cleanup-interval", "5m", "Pause between two passes of cleaning and retention. Only with --wait. 0s = as --wait-interval."),
    Flag::duration("compact.progress-interval", "5m", "How often the backlog gauges are updated. Only with --wait. 0s = never."),
    Flag::count("compact.concurrency", "1", "How many groups are merged in parallel."),
    Flag::count("compact.blocks-fetch-concurrency", "1", "How many blocks are downloaded in parallel.").ignored(FROM_BUCKET),
    Flag::count("downsample.concurrency", "1", "How many blocks are downsampled in parallel."),
    Flag::duration("delete-delay", "48h", "Time from the mark for deletion until a block is deleted. With 0 readers may ask for blocks that are gone."),
    Flag::text("deduplication.replica-label", "", "External label that tells replicas of the same data; blocks that differ only in it are merged into one (repeated, or separated by commas). This cannot be undone. Without --deduplication.func they keep all samples of all replicas.").placeholder("DEDUPLICATION.REPLICA-LABEL").repeated(),
    Flag::word("deduplication.func", &["penalty", ""], "", "How overlapping blocks are merged. Empty: one to one, every sample of every replica is kept but those of the same time, so a series of two replicas has twice the samples. penalty: one replica is followed and left where it has a gap, as queries do; needs --deduplication.replica-label."),
    Flag::new("min-time", Kind::Time, "0000-01-01T00:00:00Z", "Only blocks that end later are worked on. RFC 3339, or a duration relative to now such as -1d."),
    Flag::new("max-time", Kind::Time, "9999-12-31T23:59:59Z", "Only blocks that begin earlier are worked on. RFC 3339, or a duration relative to now such as -1d."),
    Flag::switch("web.disable", "Disable the pages."),
    Flag::text("selector.relabel-config-file", "", "Path to YAML file with relabelling rules that choose blocks by their external labels and __block_id.").placeholder("<file-path>"),
    Flag::text("selector.relabel-config", "", "Relabelling rules that choose blocks, instead of a file.").placeholder("<content>"),
    Flag::text("web.route-prefix", "", "Prefix of the pages' and the API's routes."),
    Flag::text("web.external-prefix", "", "Prefix of redirects, where a proxy changes paths. Links in the pages are relative."),
    Flag::text("web.prefix-header", "", "Name of an HTTP request header with the prefix of redirects."),
    Flag::switch("web.disable-cors", "Set no CORS headers."),
    Flag::text("bucket-web-label", "", "External label to use as title of groups in the pages.").placeholder("BUCKET-WEB-LABEL"),
    Flag::switch("disable-admin-operations", "Refuse marks and deletion requests over HTTP."),
];

const NO_HALT: &str = "what fails is left alone for a while and the rest goes on";

/// What Thanos accepts and does not list.
const HIDDEN: &[Flag] = &[
    Flag::new("debug.halt-on-error", Kind::Switch, "true", "Stop at the first bad group.").hidden().ignored(NO_HALT),
    Flag::switch("debug.accept-malformed-index", "Accept label names out of order.").hidden().ignored("they are put in order, and counted"),
    Flag::count("debug.max-compaction-level", "4", "Highest level: 0 = 1h, 1 = 2h, 2 = 8h, 3 = 2d, 4 = 14d.").hidden(),
    Flag::switch("compact.enable-vertical-compaction", "Merge blocks that overlap.").hidden().ignored("blocks that overlap are always merged"),
    Flag::size("compact.block-max-index-size", "64GB", "Largest index of a block. Where a merge could exceed it, the largest input is marked as not to be compacted; see --compact.split-blocks.").hidden(),
    Flag::switch("compact.skip-block-with-out-of-order-chunks", "Mark blocks with chunks out of order as not to be compacted.").hidden().ignored("they are put in order, and counted"),
    Flag::word("hash-func", &["SHA256", ""], "", "Hash function for the checksums of files in meta.json.").hidden(),
];

const OURS: &[Flag] = &[
    Flag::size(
        "compact.memory-limit",
        "256MB",
        "Memory that the process is to keep to, however large the blocks are. Shared by all tasks at a time.",
    ),
    Flag::count("compact.shards", "0", "Threads of one merge; 0 = the processors divided by the tasks at a time."),
    Flag::size("compact.segment-size", "512MB", "Largest file of chunks in a block."),
    Flag::duration(
        "compact.lease-ttl",
        "60s",
        "How long a group stays with a compactor that does not renew its lease. Any number of compactors may work on one bucket.",
    ),
    Flag::switch(
        "compact.single-instance",
        "There is no other compactor: leases that others hold are taken over at once.",
    ),
    Flag::word(
        "compact.verify",
        &["sizes", "index", "full"],
        "index",
        "How much of a new block is read before it is made visible, and of its successor before it is deleted.",
    ),
    Flag::duration(
        "downsample.age-5m",
        "136h",
        "Raw blocks that ended longer ago are downsampled to 5 minutes even if they span less than 40h.",
    ),
    Flag::duration(
        "downsample.age-1h",
        "38d",
        "Blocks of 5 minutes that ended longer ago are downsampled to 1 hour even if they span less than 10d.",
    ),
    Flag::switch(
        "compact.split-blocks",
        "Where a merge would exceed --compact.block-max-index-size or --compact.block-max-series, make several blocks.",
    ),
    Flag::count("compact.block-max-series", "0", "Most series of a block; 0 = no limit. Blocks are split by it."),
    Flag::text(
        "compact.tenant-label",
        "tenant_id",
        "External label that tells tenants; each gets a fair share of the work.",
    ),
    Flag::duration(
        "compact.quarantine-backoff",
        "5m",
        "How long a group or block that failed is left alone at first; twice as long after each further failure.",
    ),
    Flag::duration(
        "compact.quarantine-backoff-max",
        "6h",
        "How long a group or block that failed is left alone at most.",
    ),
    Flag::text("retention.policy-file", "", "Path to YAML file with rules of retention by series.")
        .placeholder("<file-path>"),
    Flag::text("retention.policy", "", "Rules of retention by series, instead of a file.").placeholder("<content>"),
    Flag::switch("dry-run", "Print what would be done, and do nothing."),
    Flag::switch("progress", "Show the progress of tasks on the terminal."),
];

/// The command line of `aion compact`.
pub fn command() -> Command {
    Command {
        name: "compact",
        about: "Merges, downsamples, retains and deletes the blocks of a bucket.",
        flags: vec![COMMON, HTTP, OBJSTORE, COMPACT, HIDDEN, OURS],
        args: None,
    }
}
