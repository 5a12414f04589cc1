//! The sidecar brings a real Prometheus' blocks into an S3 server.

mod common;

use common::*;
use testkit::prometheus::{backfill, block_dirs};
use testkit::s3::Server;
use testkit::wait_for;

const START_S: i64 = 1_700_000_000 / 7200 * 7200;

/// The whole component: it finds the blocks while it runs, and makes a last pass at the end.
#[tokio::test(flavor = "multi_thread")]
async fn component_ships_to_the_end() {
    if !have_prometheus("component_ships_to_the_end") {
        return;
    }
    let server = Server::start().await;
    let p = Prometheus::start(&[("cluster", "eu"), ("replica", "a")], &FIXED_BLOCKS, |_| {}).await;
    let config = config(&[
        format!("--prometheus.url={}", p.url()),
        format!("--tsdb.path={}", p.data().display()),
        format!("--objstore.config={}", server.config_yaml()),
    ]);
    let running = start(config).await;
    wait_for("the sidecar to be ready", LONG, async || running.state.is_up()).await;
    let spare = tempfile::tempdir_in(p.dir.path()).unwrap();
    backfill(spare.path(), START_S, 4, 2);
    let ids = block_dirs(spare.path());
    let move_in = |id: &String| std::fs::rename(spare.path().join(id), p.data().join(id)).unwrap();
    move_in(&ids[0]);
    let there = |id: &String| server.backend().object(Server::BUCKET, &format!("{id}/meta.json")).is_some();
    wait_for("the first block", LONG, async || there(&ids[0])).await;
    let counted =
        async || get(&format!("http://{}/metrics", running.http)).await.contains("thanos_shipper_uploads_total 1");
    wait_for("it to be counted", LONG, counted).await;
    move_in(&ids[1]);
    running.stop().await.unwrap();
    assert!(there(&ids[1]), "the last pass");
}
