//! A sidecar killed at each step of an upload and started again: every block complete, once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::s3::{Operation, Server};
use testkit::wait_for;
use tests::aion::{Component, binary};
use tests::client::http;
use tests::data::fleet;
use tests::engines::shipped;
use tests::peer::{Prometheus, PrometheusOptions};
use tests::remote_write::fill;

/// Where an upload may be stopped.
const FAILPOINTS: [&str; 4] = ["upload.after_chunk", "upload.after_index", "upload.before_meta", "upload.after_meta"];

/// How often the sidecar is killed before it may finish.
const KILLS: usize = 2;

fn sidecar(prometheus: &Prometheus, s3: &Server, dir: &Path, env: &[(&str, &str)]) -> anyhow::Result<Component> {
    let args = [
        format!("--tsdb.path={}", prometheus.data().display()),
        format!("--prometheus.url={}", prometheus.base),
        format!("--objstore.config={}", s3.config_yaml()),
    ];
    Component::start(binary(), "sidecar", dir, &args, env)
}

/// Requests that stored an object.
fn stored(s3: &Server) -> u64 {
    s3.requests(Operation::Put) + s3.requests(Operation::CompleteMultipart)
}

/// The files of a local block that belong into the bucket, as paths below the block.
fn files(block: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut out: BTreeSet<_> = ["index".to_owned(), "meta.json".to_owned()].into();
    for entry in std::fs::read_dir(block.join("chunks"))? {
        out.insert(format!("chunks/{}", entry?.file_name().to_string_lossy()));
    }
    Ok(out)
}

/// Every block of `data` is in the bucket, byte for byte, and nothing else is.
fn check_bucket(data: &Path, blocks: &[String], s3: &Server) -> anyhow::Result<()> {
    let mut wanted = BTreeSet::new();
    for block in blocks {
        for file in files(&data.join(block))? {
            let key = format!("{block}/{file}");
            let object = s3.backend().object(Server::BUCKET, &key).with_context(|| format!("{key} is missing"))?;
            if file == "meta.json" {
                let meta: Value = serde_json::from_slice(&object)?;
                ensure!(meta["ulid"] == block.as_str(), "{key}: {meta}");
                ensure!(meta["thanos"]["labels"] == serde_json::json!({"cluster": "eu", "replica": "a"}), "{meta}");
                ensure!(meta["thanos"]["source"] == "sidecar", "{meta}");
            } else {
                ensure!(object == std::fs::read(data.join(&key))?, "{key} differs from the local file");
            }
            wanted.insert(key);
        }
    }
    let found: BTreeSet<_> = s3.backend().keys(Server::BUCKET).into_iter().collect();
    ensure!(found == wanted, "objects {:?}", found.symmetric_difference(&wanted).collect::<Vec<_>>());
    ensure!(s3.backend().uploads_open() == 0, "multipart uploads are left open");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_step_of_an_upload() -> anyhow::Result<()> {
    let Some(program) = tests::peer::prometheus("killed_at_each_step_of_an_upload") else { return Ok(()) };
    kill_uploads_of(&program, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_step_beside_aion_server() -> anyhow::Result<()> {
    kill_uploads_of(binary(), Some("server")).await
}

async fn kill_uploads_of(program: &Path, subcommand: Option<&'static str>) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-crash-").tempdir()?;
    let options = PrometheusOptions {
        subcommand,
        external_labels: vec![("cluster".into(), "eu".into()), ("replica".into(), "a".into())],
        ..Default::default()
    };
    let prometheus = Prometheus::start(program, &dir.path().join("prometheus"), &options).await?;
    fill(&http()?, &prometheus.base, &fleet("eu", 1), &[], |_| true).await?;
    wait_for("the blocks to be cut", Duration::from_secs(60), async || prometheus.blocks().len() == 4).await;
    let (blocks, data) = (prometheus.blocks(), prometheus.data());

    for failpoint in FAILPOINTS {
        let s3 = Server::start().await;
        let folder = dir.path().join(failpoint);
        // a fresh sidecar each time: what the one before noted does not count
        for left in ["thanos.shipper.json", "thanos"] {
            let path = data.join(left);
            if path.is_dir() {
                std::fs::remove_dir_all(path)?
            } else if path.exists() {
                std::fs::remove_file(path)?
            }
        }
        for kill in 0..KILLS {
            let mut doomed = sidecar(&prometheus, &s3, &folder, &[("AION_FAILPOINT", failpoint)])?;
            let status = doomed.wait().await.with_context(|| format!("{failpoint}, kill {kill}"))?;
            ensure!(!status.success(), "{failpoint}: {status}");
            for block in shipped(&data) {
                let meta = format!("{block}/meta.json");
                ensure!(s3.backend().object(Server::BUCKET, &meta).is_some(), "{failpoint}: {block} noted, not there");
            }
        }
        let mut healthy = sidecar(&prometheus, &s3, &folder, &[])?;
        healthy.ready().await?;
        wait_for("all blocks to be noted", Duration::from_secs(60), async || shipped(&data).len() == blocks.len())
            .await;
        let errors = healthy.stop(&[]).await?;
        ensure!(errors.is_empty(), "{failpoint}: {}", errors.join("\n"));
        check_bucket(&data, &blocks, &s3).with_context(|| failpoint)?;
        let objects = s3.backend().keys(Server::BUCKET).len() as u64;
        ensure!(stored(&s3) == objects, "{failpoint}: {objects} objects were stored by {} requests", stored(&s3));

        // and a sidecar that has nothing to do does nothing
        let mut idle = sidecar(&prometheus, &s3, &folder, &[])?;
        idle.ready().await?;
        let api = idle.api.clone();
        let passed = async || api.metric("thanos_shipper_dir_syncs_total", "").await.is_ok_and(|n| n >= 1.0);
        wait_for("a pass over the blocks", Duration::from_secs(60), passed).await;
        let errors = idle.stop(&[]).await?;
        ensure!(errors.is_empty(), "{failpoint}: {}", errors.join("\n"));
        ensure!(stored(&s3) == objects, "{failpoint}: a finished upload was repeated");
    }
    prometheus.stop().await
}
