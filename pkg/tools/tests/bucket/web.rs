//! The blocks of a bucket as pages.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use service::tool::Deps;
use testkit::{free_port, wait_for};
use tokio_util::sync::CancellationToken;
use tools::Tools;
use transport::http::{ClientConfig, HttpClient};

use crate::place::{BLOCKS, Place};

const LONG: Duration = Duration::from_secs(60);

fn client() -> HttpClient {
    ClientConfig::parse("").unwrap().build().unwrap()
}

async fn get(url: &str) -> Option<(u16, String)> {
    let answer = client().get(url).ok()?.send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

async fn ids(url: &str) -> Vec<String> {
    let text = get(url).await.map(|(_, text)| text).unwrap_or_default();
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let blocks = answer["data"]["blocks"].as_array().cloned().unwrap_or_default();
    let mut ids: Vec<String> = blocks.iter().filter_map(|block| block["ulid"].as_str()).map(str::to_owned).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_the_blocks_of_a_bucket() {
    let place = Place::directory();
    for n in 0..3 {
        place.add(n).await;
    }
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let args = [
        "bucket",
        "web",
        "--label=cluster",
        "--refresh=50ms",
        "--selector.relabel-config=[{action: keep, source_labels: [cluster], regex: us}]",
    ];
    let args = args.iter().map(|arg| (*arg).to_owned());
    let more = [format!("--http-address={address}"), format!("--objstore.config={}", place.config)];
    let call = Tools::with(&[]).parse(args.chain(more).collect(), "v").unwrap();
    let shutdown = CancellationToken::new();
    let ends = shutdown.clone();
    let clock = place.clock.clone();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            let running = tokio::task::spawn_local(async move {
                let (mut out, mut err) = (Vec::new(), Vec::new());
                let mut deps = Deps {
                    out: &mut out,
                    err: &mut err,
                    clock,
                    env: Arc::new(|_| None),
                    metrics: telemetry::Metrics::new(),
                    random: Arc::new(|| 0),
                    shutdown: ends,
                };
                tools::run(&call, &mut deps).await.unwrap()
            });
            let api = format!("http://{address}/api/v1/blocks");
            wait_for("all blocks", LONG, async || {
                ids(&api).await == {
                    let mut all = BLOCKS;
                    all.sort_unstable();
                    all
                }
            })
            .await;
            // The view of what the flags select.
            assert_eq!(ids(&format!("{api}?view=loaded")).await, [BLOCKS[2]]);
            let (_, first) = get(&format!("{api}?limit=1&brief=true")).await.unwrap();
            assert!(first.contains("\"next\":\"") && first.contains(&format!("\"total\":{}", BLOCKS.len())), "{first}");
            let (status, page) = get(&format!("http://{address}/blocks")).await.unwrap();
            assert!(status == 200 && page.contains("<html"), "{page}");
            let about = get(&format!("http://{address}/ui.json")).await.unwrap().1;
            assert!(about.contains("\"blocks\"") && !about.contains("\"pipeline\""), "{about}");
            assert_eq!(get(&format!("http://{address}/-/ready")).await.unwrap().0, 200);
            let mark = client().post(&format!("{api}/mark?id={}&action=DELETION&detail=test", BLOCKS[0])).unwrap();
            assert_eq!(mark.send().await.unwrap().status().as_u16(), 200);
            let marked = format!("{}/deletion-mark.json", BLOCKS[0]);
            assert!(place.keys().await.contains(&marked), "{:?}", place.keys().await);
            shutdown.cancel();
            assert_eq!(running.await.unwrap(), 0);
        })
        .await;
}
