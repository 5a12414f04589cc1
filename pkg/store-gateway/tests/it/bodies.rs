//! Series and postings of small indexes on disk.

use std::path::PathBuf;

use block::BlockId;

use crate::common::*;

const HOUR: i64 = 3_600_000;
const PLENTY: u64 = 1 << 30;

async fn two_blocks() -> (Fixture, [BlockId; 2]) {
    let mut f = Fixture::new();
    let old = f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 300, 0, 400)).await;
    let new = f.raw(2, &[("cluster", "a")], (2 * HOUR, 4 * HOUR), fleet("up", 300, 2 * HOUR, 400)).await;
    (f, [old, new])
}

fn file(f: &Fixture, id: BlockId) -> PathBuf {
    f.data_dir().join(id.to_string()).join("index-body")
}

fn want() -> storage::Select {
    select((0, 4 * HOUR), &["__name__=up", "job=~job-[1-5]"])
}

/// A query asks for chunks only: at first, again, and after a restart.
#[tokio::test]
async fn queries_ask_for_chunks_only() {
    let (f, ids) = two_blocks().await;
    let right = f.right(&want()).await;
    // One that is read whole for its header, and one in parts: one request more.
    for (header_whole_bytes, gets) in [(1 << 20, 2), (1 << 10, 8)] {
        let component = f
            .gateway(|c| {
                c.index_disk_bytes = PLENTY;
                c.header.whole_bytes_max = header_whole_bytes;
            })
            .await;
        component.syncer.prepare(2).await;
        assert_eq!(f.log.take(), (gets, 0, 0));
        for _ in 0..2 {
            assert_eq!(ask(&component, &want()).await.value, right);
            assert_eq!(f.log.take(), (0, 2, 0));
        }
        let again = f.gateway(|c| c.index_disk_bytes = PLENTY).await;
        again.syncer.prepare(2).await;
        assert_eq!(ask(&again, &want()).await.value, right);
        assert_eq!(f.log.take(), (0, 2, 0));
        // Closed, and opened again.
        f.clock.advance(HOUR);
        assert_eq!(again.gateway.close_unused(1), 2);
        assert_eq!(ask(&again, &want()).await.value, right);
        assert_eq!(f.log.take(), (0, 2, 0));
        assert!(ids.iter().all(|id| file(&f, *id).exists()));
        std::fs::remove_dir_all(f.data_dir()).unwrap();
    }
}

/// Where nothing is prepared, the first query keeps what it read.
#[tokio::test]
async fn a_query_keeps_what_it_read() {
    let (f, _) = two_blocks().await;
    let right = f.right(&want()).await;
    let component = f
        .gateway(|c| {
            c.index_disk_bytes = PLENTY;
            c.header.whole_bytes_max = 1 << 10;
        })
        .await;
    for gets in [8, 0, 0] {
        assert_eq!(ask(&component, &want()).await.value, right);
        assert_eq!(f.log.take(), (gets, 2, 0));
    }
}

/// Of queries that come together one reads, and the others find it on disk.
#[tokio::test]
async fn queries_that_come_together_read_once() {
    let (f, _) = two_blocks().await;
    let right = f.right(&want()).await;
    let component = f.gateway(|c| c.index_disk_bytes = PLENTY).await;
    component.syncer.prepare(2).await;
    std::fs::remove_dir_all(f.data_dir()).unwrap();
    f.log.take();
    let want = want();
    let answers = futures::future::join_all((0..4).map(|_| ask(&component, &want))).await;
    assert!(answers.iter().all(|answer| answer.value == right));
    assert_eq!(f.log.take(), (2, 8, 0));
}

/// The newest blocks come first; what has no room is removed.
#[tokio::test]
async fn as_much_as_there_is_room_for() {
    let (f, [old, new]) = two_blocks().await;
    let size = async |id: BlockId| f.plain.head(&format!("{id}/index")).await.unwrap().size;
    let (of_old, of_new) = (size(old).await, size(new).await);
    for (room, kept) in [
        (PLENTY, [true, true]),
        (of_old + of_new - 1, [false, true]),
        (of_old.min(of_new) - 1, [false, false]),
        (0, [false; 2]),
    ] {
        let component = f.gateway(|c| c.index_disk_bytes = room).await;
        component.syncer.prepare(2).await;
        assert_eq!([old, new].map(|id| file(&f, id).exists()), kept, "{room}");
        let shown = [of_old, of_new].iter().zip(kept).filter(|(_, kept)| *kept).map(|(size, _)| size).sum::<u64>();
        let line = format!("aion_store_whole_index_disk_bytes {shown}.0\n");
        let text = f.metrics.encode();
        assert!(text.contains(&line), "{line} is not in {text}");
        let right = f.right(&want()).await;
        assert_eq!(ask(&component, &want()).await.value, right);
        f.log.take();
    }
    // One that is not read whole is not kept either.
    let component = f
        .gateway(|c| {
            c.index_disk_bytes = PLENTY;
            c.whole_index_bytes = of_old.min(of_new) - 1;
        })
        .await;
    component.syncer.prepare(2).await;
    assert!(!file(&f, old).exists() && !file(&f, new).exists());
}

/// Files that are corrupt, of another block, cut or in the way: the bucket is asked, and the file is put right.
#[tokio::test]
async fn what_lies_there_is_checked() {
    let (f, [old, new]) = two_blocks().await;
    let right = f.right(&want()).await;
    let store = async || {
        let component = f.gateway(|c| c.index_disk_bytes = PLENTY).await;
        component.syncer.prepare(2).await;
        f.log.take();
        component
    };
    store().await;
    let path = file(&f, old);
    let sound = std::fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let end = sound.len();
    let others = std::fs::read(file(&f, new)).unwrap();
    for (what, bytes, is_seen_at_start) in [
        ("series", flipped(20), false),
        ("postings", flipped(end - 40), false),
        ("stamp", flipped(end - 16), true),
        ("checksum", flipped(end - 8), false),
        ("magic", flipped(end - 1), true),
        ("cut", sound[..end / 2].to_vec(), true),
        ("of another block", others, true),
        ("short", vec![1; 3], true),
        ("empty", Vec::new(), true),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let component = store().await;
        let answer = ask(&component, &want()).await;
        assert_eq!((answer.value, answer.warnings.len()), (right.clone(), 0), "{what}");
        assert_eq!(f.log.take(), (usize::from(!is_seen_at_start), 2, 0), "{what}");
        assert_eq!(std::fs::read(&path).unwrap(), sound, "{what}");
    }
    // Corrupt while it is open.
    let component = store().await;
    assert_eq!(ask(&component, &want()).await.value, right);
    let mut open = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut open, &[0xFF; 4096]).unwrap();
    f.log.take();
    let all = select((0, 4 * HOUR), &["__name__=up"]);
    let answer = ask(&component, &all).await;
    assert_eq!((answer.value, answer.warnings.len()), (f.right(&all).await, 0));
    assert_eq!(ask(&component, &want()).await.value, right);
    assert_eq!(std::fs::read(&path).unwrap(), sound);
    // Something else lies in the way.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let component = store().await;
    for _ in 0..2 {
        assert_eq!(ask(&component, &want()).await.value, right);
    }
}

/// A body of a block that another was put in place of is not taken for the other's.
#[tokio::test]
async fn replaced_blocks() {
    let (mut f, [old, _]) = two_blocks().await;
    let with_disk = |c: &mut store_gateway::Config| c.index_disk_bytes = PLENTY;
    let component = f.gateway(with_disk).await;
    component.syncer.prepare(2).await;
    std::fs::remove_dir_all(f.dir.path().join("blocks").join(old.to_string())).unwrap();
    assert_eq!(old, f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 250, 0, 300)).await);
    component.syncer.sync().await.unwrap();
    for store in [component, f.gateway(with_disk).await] {
        let answer = ask(&store, &want()).await;
        assert_eq!((answer.value, answer.warnings.len()), (f.right(&want()).await, 0));
        store.syncer.prepare(2).await;
        f.log.take();
        assert_eq!(ask(&store, &want()).await.value, f.right(&want()).await);
        assert_eq!(f.log.take(), (0, 2, 0));
    }
}
