//! verify: what is wrong is found, named, and mended.

use block::{BlockId, BlockMeta, LocalBlock};
use bucket::download::download_block;
use testkit::s3::{Fault, FaultKind, Operation};

use crate::faulty::{self, START_MS};
use crate::place::{BLOCKS, Place, keys};

async fn findings(place: &Place, args: &[&str]) -> (i32, Vec<serde_json::Value>) {
    let args: Vec<&str> = ["verify", "-o", "json"].iter().chain(args).copied().collect();
    let (code, text) = place.run(&args).await;
    (code, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

#[tokio::test]
async fn sound_blocks_pass() {
    for place in Place::filled().await {
        assert_eq!(place.run(&["verify"]).await, (0, String::new()));
        assert_eq!(findings(&place, &[]).await, (0, vec![]));
        assert_eq!(place.run(&["verify", "--id", BLOCKS[0], "-i", "index_known_issues"]).await.0, 0);
        assert_eq!(place.run(&["verify", "--id=01M7XNEDBRHMVA77T71GPE1DE6"]).await.0, 1);
    }
}

#[tokio::test]
async fn no_byte_is_left_unread() {
    let place = Place::directory();
    place.add(1).await;
    for file in ["chunks/000001", "index"] {
        let key = format!("{}/{file}", BLOCKS[1]);
        let whole = place.bucket.get(&key).await.unwrap().to_vec();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            place.bucket.put(&key, bad).await.unwrap();
            let (code, found) = findings(&place, &[]).await;
            assert_eq!((code, &found[0]["file"]), (1, &file.into()), "byte {at} of {file}: {found:?}");
            assert_eq!(found[0]["severity"], "damaged", "byte {at} of {file}: {found:?}");
        }
        for len in [0, 1, 7, whole.len() / 2, whole.len() - 1] {
            place.bucket.put(&key, whole[..len].to_vec()).await.unwrap();
            let (code, found) = findings(&place, &[]).await;
            assert_eq!((code, &found[0]["file"]), (1, &file.into()), "{file} cut to {len}: {found:?}");
        }
        place.bucket.delete(&key).await.unwrap();
        let (code, found) = findings(&place, &["--depth=sizes"]).await;
        assert_eq!((code, &found[0]["what"]), (1, &"is missing".into()), "{found:?}");
        place.bucket.put(&key, whole).await.unwrap();
    }
    assert_eq!(findings(&place, &[]).await, (0, vec![]));
}

#[tokio::test]
async fn damage_is_found_without_noted_checksums_and_named() {
    for place in Place::all().await {
        place.add(0).await;
        let path = format!("{}/meta.json", BLOCKS[0]);
        let mut meta = BlockMeta::parse("meta.json", &place.bucket.get(&path).await.unwrap()).unwrap();
        meta.thanos.as_mut().unwrap().files.clear();
        meta.stats.num_samples += 1;
        place.bucket.put(&path, meta.to_json()).await.unwrap();
        let (code, found) = findings(&place, &[]).await;
        assert_eq!((code, found.len()), (1, 1), "{found:?}");
        assert_eq!(found[0]["what"], "notes 1601 samples, there are 1600");
        // a chunk in the middle
        let key = format!("{}/chunks/000001", BLOCKS[0]);
        let mut bytes = place.bucket.get(&key).await.unwrap().to_vec();
        bytes[40] ^= 1;
        place.bucket.put(&key, bytes).await.unwrap();
        let (_, found) = findings(&place, &[]).await;
        let what = found[0]["what"].as_str().unwrap();
        assert!(what.starts_with("series {__name__=") && what.contains("checksum"), "{what}");
        assert_eq!((&found[0]["offset"], &found[0]["file"]), (&8.into(), &"chunks/000001".into()));
        // all others are read all the same
        let (_, table) = place.run(&["verify"]).await;
        assert_eq!(table.matches("damaged").count(), 1, "{table}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_not_a_damaged_block() {
    let place = Place::s3().await;
    place.add(0).await;
    let server = place.server.as_ref().unwrap();
    server.fault(Fault::next(1000, Operation::Get, "index", FaultKind::Status(403)));
    assert_eq!(place.run(&["verify"]).await, (1, String::new()));
    server.clear_faults();
    assert_eq!(place.run(&["verify"]).await, (0, String::new()));
}

#[tokio::test]
async fn partial_uploads_are_noted() {
    for place in Place::all().await {
        place.add(0).await;
        place.bucket.delete(&format!("{}/meta.json", BLOCKS[0])).await.unwrap();
        let (code, found) = findings(&place, &[]).await;
        assert_eq!((code, &found[0]["severity"]), (0, &"note".into()), "{found:?}");
        place.bucket.put(&format!("{}/meta.json", BLOCKS[0]), "{").await.unwrap();
        let (code, found) = findings(&place, &[]).await;
        assert_eq!((code, &found[0]["severity"]), (1, &"damaged".into()), "{found:?}");
    }
}

/// A second block with the content of the first golden one; with its sources too if `same`.
async fn twin(place: &Place, same: bool) -> BlockId {
    let id = BlockId::parse("01M7XNJ90W1DWS89T9WNHA09R2").unwrap();
    for file in ["chunks/000001", "index"] {
        let bytes = place.bucket.get(&format!("{}/{file}", BLOCKS[0])).await.unwrap();
        place.bucket.put(&format!("{id}/{file}"), bytes).await.unwrap();
    }
    let json = place.bucket.get(&format!("{}/meta.json", BLOCKS[0])).await.unwrap();
    let mut meta = BlockMeta::parse("meta.json", &json).unwrap();
    meta.ulid = id;
    if !same {
        meta.compaction.sources = vec![id];
    }
    place.bucket.put(&format!("{id}/meta.json"), meta.to_json()).await.unwrap();
    id
}

#[tokio::test]
async fn overlaps_and_duplicates() {
    for place in Place::filled().await {
        let id = twin(&place, false).await;
        let (code, found) = findings(&place, &[]).await;
        assert_eq!((code, found.len()), (1, 1), "{found:?}");
        assert_eq!((&found[0]["issue"], &found[0]["ulid"]), (&"overlapped_blocks".into(), &id.to_string().into()));
        assert_eq!(findings(&place, &["-i", "duplicated_compaction"]).await, (0, vec![]));
        let id = twin(&place, true).await;
        let (code, found) = findings(&place, &["-i", "duplicated_compaction"]).await;
        assert_eq!((code, &found[0]["ulid"]), (1, &id.to_string().into()), "{found:?}");

        let backup = Place::directory();
        let target = format!("--objstore-backup.config={}", backup.config);
        assert_eq!(place.run(&["verify", "-r", "-i", "duplicated_compaction"]).await.0, 2);
        let before = place.keys().await;
        let args = ["verify", "-r", "-i", "duplicated_compaction", "--delete-delay=48h", &target];
        let (code, text) = place.run(&args).await;
        assert!(
            code == 0 && text.contains(&format!("{id}: marked for deletion, {} has the same", BLOCKS[0])),
            "{text}"
        );
        assert_eq!(place.keys().await.len(), before.len() + 1);
        assert_eq!(keys(&backup.bucket).await.len(), 3);
        // a block in the backup is never written over
        place.bucket.delete(&format!("{id}/deletion-mark.json")).await.unwrap();
        let (code, text) = place.run(&["verify", "-r", "-i", "duplicated_compaction", &target]).await;
        assert!(code == 1 && text.contains("is in the backup bucket"), "{text}");
        for key in keys(&backup.bucket).await {
            backup.bucket.delete(&key).await.unwrap();
        }
        let (code, text) = place.run(&["verify", "-r", "-i", "duplicated_compaction", &target]).await;
        assert!(code == 0 && text.contains(": deleted, "), "{text}");
        assert!(!place.keys().await.iter().any(|key| key.starts_with(&id.to_string())));
    }
}

#[tokio::test]
async fn chunks_out_of_order_are_told_and_repaired() {
    let swap = |chunks: &mut Vec<block::ChunkMeta>| chunks.swap(1, 2);
    let twice = |chunks: &mut Vec<block::ChunkMeta>| chunks[2] = chunks[1];
    let first = |chunks: &mut Vec<block::ChunkMeta>| chunks.swap(0, 1);
    for (spoil, what, samples) in [
        (&swap as &dyn Fn(&mut Vec<block::ChunkMeta>), "1 of 4 chunks are out of order", 50),
        (&twice, "1 of 4 chunks have the range of the one before", 40),
        (&first, "1 of 4 chunks are out of order", 50),
    ] {
        let (place, backup) = (Place::directory(), Place::directory());
        let id = faulty::upload(&place, spoil).await;
        let (code, found) = findings(&place, &[]).await;
        let told = found[0]["what"].as_str().unwrap();
        assert!(code == 1 && told.contains(what) && told.contains("series {__name__=\"m"), "{found:?}");
        assert_eq!(found[0]["severity"], "wrong");
        let before = place.keys().await;
        let mut originals = Vec::new();
        for key in &before {
            originals.push(place.bucket.get(key).await.unwrap());
        }

        let target = format!("--objstore-backup.config={}", backup.config);
        let (code, text) = place.run(&["verify", "--repair", "-i", "index_known_issues", &target]).await;
        assert!(code == 0 && text.contains(&format!("{id}: repaired, the new block is ")), "{text}");
        assert_eq!(keys(&backup.bucket).await, before);
        for (key, original) in before.iter().zip(originals) {
            assert_eq!(backup.bucket.get(key).await.unwrap(), original, "{key}");
        }
        assert_eq!(findings(&place, &[]).await, (0, vec![]));
        let (_, ids) = place.run(&["ls"]).await;
        let new = BlockId::parse(ids.trim()).unwrap();
        assert_ne!(new, id);
        let dir = tempfile::tempdir().unwrap();
        let meta = download_block(&place.bucket, new, dir.path()).await.unwrap();
        assert_eq!((meta.stats.num_samples, meta.thanos.as_ref().unwrap().source.as_str()), (samples, "bucket.repair"));
        assert_eq!(meta.compaction.sources, [id]);
        let block = LocalBlock::open(dir.path()).unwrap();
        let series = block.index().series(block.index().all_postings().unwrap()[0]).unwrap();
        assert_eq!(series.chunks[0].min_time, START_MS);
    }
}

#[tokio::test]
async fn what_cannot_be_repaired_stays_as_it_is() {
    let (place, backup) = (Place::directory(), Place::directory());
    place.add(0).await;
    let key = format!("{}/chunks/000001", BLOCKS[0]);
    let mut bytes = place.bucket.get(&key).await.unwrap().to_vec();
    bytes[40] ^= 1;
    place.bucket.put(&key, bytes).await.unwrap();
    let before = place.keys().await;
    let target = format!("--objstore-backup.config={}", backup.config);
    let (code, text) = place.run(&["verify", "--repair", &target]).await;
    assert!(code == 1 && text.contains(&format!("{}: not repaired: ", BLOCKS[0])), "{text}");
    assert_eq!(place.keys().await, before);
    assert!(!backup.dir.path().join("bucket").exists());
}
