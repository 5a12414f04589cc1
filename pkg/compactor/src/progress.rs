//! The progress of tasks as a line of text.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::compactor::Compactor;
use crate::group::resolution_text;
use crate::status::Running;

const WIDTH: usize = 30;

/// `[=====>    ] 42 %  compaction {cluster="a"}  2 blocks, 3.1 of 7.4 MB`.
pub(crate) fn line(running: &Running) -> String {
    let share = running.share();
    let filled = (share * WIDTH as f64) as usize;
    let bar: String = (0..WIDTH).map(|at| if at < filled { '=' } else { ' ' }).collect();
    let mb = |bytes: &std::sync::atomic::AtomicU64| bytes.load(Ordering::Relaxed) as f64 / 1e6;
    format!(
        "[{bar}] {:3.0} %  {} {}  {} blocks, {:.1} of {:.1} MB",
        share * 100.0,
        running.kind.name(),
        running.selector,
        running.inputs.len(),
        mb(&running.progress.bytes_done),
        mb(&running.progress.bytes_total),
    )
}

/// Writes a line for each task under way to the terminal, again and again in place.
pub(crate) async fn show(compactor: Arc<Compactor>, shutdown: CancellationToken) {
    let mut lines_before = 0;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        let lines: Vec<String> = compactor.status.running().iter().map(line).collect();
        let mut text = String::new();
        if lines_before > 0 {
            text.push_str(&format!("\x1b[{lines_before}A\x1b[J"));
        }
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        // A terminal that is gone ends no compaction.
        let _ = std::io::stderr().write_all(text.as_bytes());
        lines_before = lines.len();
    }
}

/// What a compactor would do, for `--dry-run`.
pub(crate) async fn dry_run(compactor: &Compactor, snapshot: &crate::snapshot::Snapshot) -> String {
    use crate::planning::Work;
    use crate::retention::Action;
    let mut out = String::new();
    let mut add = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    for work in [Work::Compaction, Work::Downsampling] {
        let (tasks, too_large) = compactor.planned(work, snapshot);
        for task in tasks {
            add(task.text());
        }
        for id in too_large {
            add(format!("mark {id} as not to be compacted: its index is too large"));
        }
    }
    let now_ms = compactor.deps.clock.now_ms();
    for decision in compactor.decisions(snapshot, now_ms).values() {
        let (id, resolution) = (decision.block.ulid, resolution_text(decision.block.resolution_ms()));
        let bytes = snapshot.bytes(id);
        match &decision.action {
            Action::Mark(details) => add(format!("mark {id} ({resolution}, {bytes} bytes) for deletion: {details}")),
            Action::Rewrite(due) => add(format!("rewrite {id} ({resolution}) without series of {} rules", due.len())),
            Action::Withhold { missing_ms } => {
                add(format!(
                    "keep {id} ({resolution}) although it is due: {} is missing",
                    resolution_text(*missing_ms)
                ));
            }
        }
    }
    for id in &snapshot.duplicates {
        add(format!("mark {id} for deletion: other blocks hold its data"));
    }
    for (_, upload) in compactor.abandoned_uploads(snapshot, now_ms).await.unwrap_or_default() {
        let begun = model::format_rfc3339_ms(upload.begun_ms);
        add(format!("abort the abandoned upload of {} that was begun at {begun}", upload.path));
    }
    if out.is_empty() {
        out.push_str("nothing to do\n");
    }
    out
}
