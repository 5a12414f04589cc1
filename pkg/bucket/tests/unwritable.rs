//! Shipping from a data directory that cannot be written.

use std::path::Path;
use std::sync::Arc;

use block::BlockId;
use bucket::shipper::{Pass, Shipped, Shipper, ShipperOptions, Skipped};
use labels::Labels;
use model::FakeClock;
use objstore::{Bucket, Config, OpenOptions};
use service::Failpoints;
use telemetry::Metrics;
use testkit::s3::{Operation, Server};

const LIST: &str = "thanos.shipper.json";

/// Blocks that a Prometheus wrote; their ids, oldest first.
fn data_directory() -> (tempfile::TempDir, Vec<BlockId>) {
    let dir = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden-blocks");
    let names = ["01M7XNJ90W1DWS89T9WNHA09R1", "01M7XNJCJY6T27ZNK0F58B9K10", "01M7XNEDBRHMVA77T71GPE1DE5"];
    for name in names {
        let to = dir.path().join(name);
        std::fs::create_dir_all(to.join("chunks")).unwrap();
        for file in ["meta.json", "index", "chunks/000001"] {
            std::fs::copy(golden.join(name).join(file), to.join(file)).unwrap();
        }
    }
    (dir, names.map(|name| BlockId::parse(name).unwrap()).to_vec())
}

/// Work files have no place here.
fn without_links(dir: &Path) {
    std::fs::write(dir.join("thanos"), "a file").unwrap();
}

fn open(server: &Server) -> Bucket {
    Config::parse(&server.config_yaml(), &|_| None).unwrap().open(&OpenOptions::default()).unwrap()
}

fn shipper(server: &Server, dir: &Path, failpoints: Failpoints, metrics: &Metrics) -> Shipper {
    let clock = Arc::new(FakeClock::at(1_795_300_000_000));
    let options = ShipperOptions { clock, failpoints, ..ShipperOptions::new(dir) };
    Shipper::new(open(server), options, || Labels::from_pairs([("cluster", "eu")]), metrics)
}

fn value(metrics: &Metrics, name: &str) -> u64 {
    let page = metrics.encode();
    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {page}"));
    line.trim().parse().unwrap()
}

fn requests(server: &Server) -> u64 {
    [Operation::Put, Operation::Head, Operation::Get, Operation::List].map(|o| server.requests(o)).into_iter().sum()
}

fn all_listed() -> Pass {
    Pass { skipped: Skipped { listed: 3, ..Skipped::default() }, ..Pass::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_upload_depends_on_writing_into_the_data_directory() {
    let (dir, ids) = data_directory();
    let server = Server::start().await;
    without_links(dir.path());
    std::fs::create_dir_all(dir.path().join(LIST).join("not empty")).unwrap();

    let metrics = Metrics::new();
    let ship = shipper(&server, dir.path(), Failpoints::none(), &metrics);
    let pass = ship.pass().await.unwrap();
    assert_eq!(pass, Pass { uploaded: ids.clone(), ..Pass::default() });
    for id in &ids {
        for file in ["meta.json", "index", "chunks/000001"] {
            let stored = server.backend().object(Server::BUCKET, &format!("{id}/{file}")).expect(file);
            let local = std::fs::read(dir.path().join(id.to_string()).join(file)).unwrap();
            assert!(file == "meta.json" || stored == local, "{id}/{file}");
        }
    }
    let told = |metrics: &Metrics| {
        (value(metrics, "aion_shipper_list_failures_total"), value(metrics, "thanos_shipper_dir_sync_failures_total"))
    };
    assert_eq!(told(&metrics), (1, 0), "once a pass, and the pass did its work");
    // the process knows what it shipped
    let before = requests(&server);
    assert_eq!(ship.pass().await.unwrap(), all_listed());
    assert_eq!((requests(&server), told(&metrics)), (before, (2, 0)));
    // another asks the bucket
    let puts = server.requests(Operation::Put);
    let metrics = Metrics::new();
    let ship = shipper(&server, dir.path(), Failpoints::none(), &metrics);
    let pass = ship.pass().await.unwrap();
    assert_eq!((pass.found.clone(), server.requests(Operation::Put)), (ids.clone(), puts), "{pass:?}");
    // mended: the list is written, though there is nothing to ship
    std::fs::remove_dir_all(dir.path().join(LIST)).unwrap();
    assert_eq!(ship.pass().await.unwrap(), all_listed());
    assert_eq!(Shipped::read(&dir.path().join(LIST)).unwrap().0, ids.into_iter().collect());
    assert_eq!(told(&metrics), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_list_is_rewritten() {
    let (dir, ids) = data_directory();
    let server = Server::start().await;
    let metrics = Metrics::new();
    let ship = shipper(&server, dir.path(), Failpoints::none(), &metrics);
    ship.pass().await.unwrap();
    let before = requests(&server);
    for text in ["", "{\"version\":1,\"upl", "{\"version\":7}", "\u{0}\u{0}\u{0}"] {
        std::fs::write(dir.path().join(LIST), text).unwrap();
        assert_eq!(ship.pass().await.unwrap(), all_listed(), "{text:?}");
        assert_eq!(Shipped::read(&dir.path().join(LIST)).unwrap().0, ids.iter().copied().collect(), "{text:?}");
    }
    assert_eq!((requests(&server), value(&metrics, "aion_shipper_list_failures_total")), (before, 0));
    // a process that has just begun asks the bucket
    std::fs::write(dir.path().join(LIST), "{").unwrap();
    let pass = shipper(&server, dir.path(), Failpoints::none(), &Metrics::new()).pass().await.unwrap();
    assert_eq!((pass.uploaded, pass.found), (vec![], ids));
}

/// Read in place, a block is not kept from being deleted: it is then no failure, and never half visible.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_deleted_while_it_is_read_in_place() {
    for place in ["shipper.after_link", "upload.after_chunk"] {
        let (dir, ids) = data_directory();
        let server = Server::start().await;
        without_links(dir.path());
        let (first, deleted) = (dir.path().join(ids[0].to_string()), dir.path().join("deleted"));
        let delete = move |name: &str| {
            if name == place && first.exists() {
                std::fs::rename(&first, &deleted).unwrap();
            }
            false
        };
        let ship = shipper(&server, dir.path(), Failpoints::hook(delete), &Metrics::new());
        let pass = ship.pass().await.unwrap();
        assert_eq!(pass, Pass { uploaded: ids[1..].to_vec(), ..Pass::default() }, "{place}");
        assert!(server.backend().object(Server::BUCKET, &format!("{}/meta.json", ids[0])).is_none(), "{place}");
    }
}
