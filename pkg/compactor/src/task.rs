//! Tasks: which blocks are merged, rewritten or downsampled. Pure: a snapshot in, tasks out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::meta::{Deletion as NotedDeletion, DeletionInterval, Rewrite};
use block::{BlockId, BlockMeta};
use bucket::deletions::{Request, to_deletion_matcher};
use merge::{Deletion, Downsampling, Input, Job, Vertical};

use crate::backlog;
use crate::decision::{Kind, REWRITTEN, SOURCE_OF_COMPACTED};
use crate::downsampling::{self, Todo};
use crate::group::{self, Group, replica};
use crate::output;
use crate::plan;
use crate::policy::Due;
use crate::quarantine::Quarantine;
use crate::retention::{Action, Decision};
use crate::settings::Settings;
use crate::snapshot::Snapshot;

/// Lanes of a group: at most so many of its blocks are downsampled at a time, over all compactors. Each lane has a lease.
const LANES: u128 = 8;

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) kind: Kind,
    /// Key of the lease that it needs.
    pub(crate) lease: String,
    pub(crate) group: String,
    /// The group's labels, for people.
    pub(crate) selector: String,
    /// Tenant, for a fair share.
    pub(crate) tenant: String,
    /// Resolution of the inputs, ms.
    pub(crate) resolution_ms: i64,
    /// The merge, without the id of the output.
    pub(crate) job: Job,
    /// Details of the deletion marks on the inputs; `None` = the inputs stay.
    pub(crate) replaces: Option<String>,
    /// Whether the inputs overlap in time.
    pub(crate) overlapping: bool,
    pub(crate) bytes: u64,
    /// An output without samples is no error.
    pub(crate) may_be_empty: bool,
    /// The output is one part of a split merge: it is marked as not to be compacted.
    pub(crate) no_compact: bool,
}

/// The next step for a group.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    Task(Box<Task>),
    /// Blocks to be marked as not to be compacted; then the group is planned again.
    TooLarge(Vec<BlockId>),
}

/// What tasks are made from.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) settings: &'a Settings,
    pub(crate) quarantine: &'a Quarantine,
    /// Retention's decisions, by block.
    pub(crate) decisions: &'a BTreeMap<BlockId, Decision>,
    pub(crate) now_ms: i64,
}

impl Context<'_> {
    /// The next work on blocks of `group`: what is to be deleted, then what retention takes out, then merging.
    pub(crate) fn next(&self, group: &Group) -> Option<Next> {
        let mut excluded: BTreeSet<BlockId> = BTreeSet::new();
        for block in &group.blocks {
            if self.quarantine.has_block(block.ulid, self.now_ms) {
                excluded.insert(block.ulid);
                continue;
            }
            let requests = self.snapshot.reaching(block);
            if !requests.is_empty() {
                return Some(Next::Task(Box::new(self.deletion(group, block, &requests))));
            }
            if let Some(Decision { action: Action::Rewrite(due), .. }) = self.decisions.get(&block.ulid) {
                return Some(Next::Task(Box::new(self.retention(group, block, due))));
            }
        }
        let settings = self.settings;
        excluded.extend(group.blocks.iter().map(|b| b.ulid).filter(|id| self.snapshot.no_compact.contains(id)));
        let bytes = |meta: &BlockMeta| self.snapshot.index_bytes(meta);
        let limit = if settings.split { u64::MAX } else { settings.index_bytes_max };
        for others in output::apart(&group.blocks) {
            let excluded = &excluded | &others;
            let planned = plan::plan_within(&group.blocks, &settings.ranges_ms, &excluded, limit, &bytes);
            if !planned.too_large.is_empty() {
                return Some(Next::TooLarge(planned.too_large));
            }
            if !planned.plan.is_empty() {
                return Some(Next::Task(Box::new(self.compaction(group, &planned.plan))));
            }
        }
        None
    }

    fn task(&self, kind: Kind, group: &Group, inputs: &[Arc<BlockMeta>], meta: BlockMeta) -> Task {
        let replica_of = |meta: &Arc<BlockMeta>| {
            let meta = self.snapshot.original(meta);
            Input { replica: replica(&meta, &self.settings.replica_labels), meta }
        };
        Task {
            kind,
            lease: group.lease_key(),
            group: group.key.clone(),
            selector: group.selector(),
            tenant: group.tenant(&self.settings.tenant_label),
            resolution_ms: group.resolution_ms,
            overlapping: plan::overlap(inputs),
            bytes: inputs.iter().map(|m| self.snapshot.bytes(m.ulid)).sum(),
            job: Job {
                inputs: inputs.iter().map(replica_of).collect(),
                meta,
                vertical: self.settings.vertical,
                deletions: Vec::new(),
                tombstones: true,
                relabel: Vec::new(),
                downsampling: None,
            },
            replaces: Some(SOURCE_OF_COMPACTED.to_owned()),
            may_be_empty: inputs.iter().any(|m| m.stats.num_tombstones > 0 || m.stats.num_samples == 0),
            no_compact: false,
        }
    }

    fn compaction(&self, group: &Group, inputs: &[Arc<BlockMeta>]) -> Task {
        let meta = output::compacted(BlockId::default(), inputs, &group.labels);
        self.task(Kind::Compaction, group, inputs, meta)
    }

    fn deletion(&self, group: &Group, block: &Arc<BlockMeta>, requests: &[&Request]) -> Task {
        let mut noted = Vec::new();
        let mut deletions = Vec::new();
        for request in requests {
            // The matchers were checked when the request was read.
            for matchers in request.matchers().unwrap_or_default() {
                noted.push(NotedDeletion {
                    matchers: matchers.iter().map(to_deletion_matcher).collect(),
                    intervals: vec![DeletionInterval { min_time: request.min_time, max_time: request.max_time }],
                    request_id: request.id.to_string(),
                });
                deletions.push(Deletion { matchers, ranges: vec![request.range()] });
            }
        }
        let ids: Vec<String> = requests.iter().map(|r| r.id.to_string()).collect();
        let details = format!("{REWRITTEN} deleted on request {}", ids.join(", "));
        self.rewrite(Kind::Deletion, group, block, noted, deletions, details)
    }

    fn retention(&self, group: &Group, block: &Arc<BlockMeta>, due: &[Due]) -> Task {
        let mut noted = Vec::new();
        let mut deletions = Vec::new();
        for due in due {
            for deletion in &due.deletions {
                noted.push(NotedDeletion {
                    matchers: deletion.matchers.iter().map(to_deletion_matcher).collect(),
                    intervals: Vec::new(),
                    request_id: due.id.clone(),
                });
                deletions.push(deletion.clone());
            }
        }
        let details = format!("{REWRITTEN} past their retention");
        self.rewrite(Kind::Retention, group, block, noted, deletions, details)
    }

    fn rewrite(
        &self,
        kind: Kind,
        group: &Group,
        block: &Arc<BlockMeta>,
        noted: Vec<NotedDeletion>,
        deletions: Vec<Deletion>,
        details: String,
    ) -> Task {
        let rewrite = Rewrite { sources: vec![block.ulid], deletions_applied: noted, ..Rewrite::default() };
        let meta = output::rewritten(BlockId::default(), block, &group.labels, rewrite);
        let mut task = self.task(kind, group, std::slice::from_ref(block), meta);
        task.job.deletions = deletions;
        task.job.vertical = Vertical::Merge;
        task.replaces = Some(details);
        task.may_be_empty = true;
        task.no_compact = self.snapshot.no_compact.contains(&block.ulid);
        task
    }

    pub(crate) fn downsamplings(&self) -> Vec<Task> {
        if !self.settings.downsampling {
            return Vec::new();
        }
        let todo = self.downsampling_todo();
        todo.iter().filter_map(|todo| self.downsampling(todo)).collect()
    }

    fn downsampling_todo(&self) -> Vec<Todo> {
        // Retention names raw blocks. A missing 1h resolution is made from the 5m blocks that cover them.
        let mut awaited = BTreeSet::new();
        for decision in self.decisions.values() {
            let Action::Withhold { missing_ms } = decision.action else { continue };
            let block = &decision.block;
            let from_ms = downsampling::STEPS.iter().find(|s| s.to_ms == missing_ms).map(|s| s.from_ms);
            match from_ms.filter(|from_ms| *from_ms != block.resolution_ms()) {
                Some(from_ms) => {
                    awaited.extend(self.snapshot.coverage.at_resolution(block, from_ms).unwrap_or_default());
                }
                None => {
                    awaited.insert(block.ulid);
                }
            }
        }
        let mut excluded = self.snapshot.no_compact.clone();
        excluded.extend(self.quarantine.blocks().keys().copied());
        let growing = self.snapshot.groups.values();
        // Groups that failed are not waited for.
        let growing = growing.filter(|group| !self.quarantine.has_group(&group.lease_key(), self.now_ms));
        let growing: BTreeSet<BlockId> =
            growing.flat_map(|group| backlog::growing(group, &self.settings.ranges_ms, &excluded)).collect();
        downsampling::todo(&downsampling::Situation {
            steps: &self.settings.steps,
            blocks: &self.snapshot.filtered.kept,
            coverage: &self.snapshot.coverage,
            no_downsample: &self.snapshot.no_downsample,
            growing: &growing,
            awaited: &awaited,
            policy: &self.settings.policy,
            now_ms: self.now_ms,
        })
    }

    fn downsampling(&self, todo: &Todo) -> Option<Task> {
        let block = &todo.block;
        if self.quarantine.has_block(block.ulid, self.now_ms) || !self.snapshot.reaching(block).is_empty() {
            return None;
        }
        let group = self.snapshot.groups.get(&block.group_key())?;
        let meta = output::downsampled(BlockId::default(), block, todo.step.to_ms);
        let mut task = self.task(Kind::Downsampling, group, std::slice::from_ref(block), meta);
        task.lease = format!("{}-downsample-{}", group.lease_key(), block.ulid.0.random() % LANES);
        task.job.downsampling = Some(Downsampling { from_ms: todo.step.from_ms, to_ms: todo.step.to_ms });
        task.replaces = None;
        task.may_be_empty = true;
        task.no_compact = !output::parts(block).is_empty();
        Some(task)
    }
}

impl Task {
    /// The names of the inputs.
    pub(crate) fn inputs(&self) -> Vec<BlockId> {
        self.job.inputs.iter().map(|i| i.meta.ulid).collect()
    }

    pub(crate) fn text(&self) -> String {
        let inputs: Vec<String> = self.inputs().iter().map(BlockId::to_string).collect();
        format!(
            "{} of {} at {}: {} ({} bytes)",
            self.kind.name(),
            self.selector,
            group::resolution_text(self.resolution_ms),
            inputs.join(", "),
            self.bytes
        )
    }
}
