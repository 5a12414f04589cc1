//! A log that is read while it is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use wal::{Compression, Entry, Follower, Position};

use super::{hasty, noise, open};

/// What a follower gets until it has caught up.
fn read(follower: &mut Follower, until: Option<Position>) -> (Vec<Vec<u8>>, Vec<String>) {
    let (mut records, mut corruptions) = (Vec::new(), Vec::new());
    let visit = &mut |entry: Entry<'_>, _: Position| {
        match entry {
            Entry::Record(record) => records.push(record.to_vec()),
            Entry::Corrupt(corruption) => corruptions.push(corruption.why),
        }
        true
    };
    follower.read(until, visit).unwrap();
    (records, corruptions)
}

#[test]
fn each_record_comes_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::Snappy, 100_000));
    let (mut by_position, mut by_end) = (Follower::new(dir.path(), Position::default()), None);
    for n in 0..200 {
        let records: Vec<_> = (0..n % 4).map(|i| noise(n * 10 + i, (n * 997 % 30_000) as usize)).collect();
        writer.log(&records).unwrap();
        if n % 50 == 49 {
            writer.cut().unwrap();
        }
        let (read_now, corruptions) = read(&mut by_position, Some(writer.position()));
        assert_eq!((read_now, corruptions), (records.clone(), vec![]), "batch {n}");
        assert_eq!(by_position.position(), writer.position());
        // Where the writer's position is not known; a follower is made again from where it was.
        let mut follower = Follower::new(dir.path(), by_end.unwrap_or_default());
        assert_eq!(read(&mut follower, None), (records, vec![]), "batch {n}");
        by_end = Some(follower.position());
    }
}

#[test]
fn a_write_that_is_under_way_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::None, 1 << 20));
    let records = [noise(1, 100), noise(2, 50_000), noise(3, 20)];
    writer.log(&records).unwrap();
    let path = dir.path().join("00000000");
    let bytes = std::fs::read(&path).unwrap();
    let mut follower = Follower::new(dir.path(), Position::default());
    let mut got = Vec::new();
    for len in (0..bytes.len()).step_by(37).chain([bytes.len()]) {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let (records, corruptions) = read(&mut follower, None);
        assert_eq!(corruptions, Vec::<String>::new(), "{len} bytes");
        got.extend(records);
    }
    assert_eq!(got, records);
}

#[test]
fn nothing_behind_the_writers_position_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::None, 1 << 20));
    let mut follower = Follower::new(dir.path(), Position::default());
    let mut ends = vec![writer.position()];
    for n in 0..5 {
        writer.log(&[noise(n, 10), noise(n + 100, 10)]).unwrap();
        ends.push(writer.position());
        if n == 2 {
            writer.cut().unwrap();
            ends.push(writer.position());
        }
    }
    let counts: Vec<_> = ends.iter().map(|end| read(&mut follower, Some(*end)).0.len()).collect();
    assert_eq!(counts, [0, 2, 2, 2, 0, 2, 2]);
}

#[test]
fn a_corruption_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::None, 1 << 20));
    for n in 0..5 {
        writer.log(&[noise(n, 10)]).unwrap();
    }
    let path = dir.path().join("00000000");
    let mut bytes = std::fs::read(&path).unwrap();
    for at in [2 * 17 + 9, 4 * 17 + 9] {
        bytes[at] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
    let mut follower = Follower::new(dir.path(), Position::default());
    let (records, corruptions) = read(&mut follower, Some(writer.position()));
    assert_eq!((records, corruptions.len()), (vec![noise(0, 10), noise(1, 10), noise(3, 10)], 2));
    assert_eq!(read(&mut follower, Some(writer.position())), (vec![], vec![]));
    // Segments that are gone are told too.
    writer.cut().unwrap();
    writer.log(&[b"one"]).unwrap();
    writer.cut().unwrap();
    writer.log(&[b"two"]).unwrap();
    writer.truncate(2).unwrap();
    let (records, corruptions) = read(&mut follower, Some(writer.position()));
    assert_eq!(records, [b"two"]);
    assert_eq!(corruptions, ["segments up to 1 were removed before they were read"]);
}

/// A writer and a follower in threads of their own.
#[test]
fn at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::Snappy, 200_000));
    let (position, done) = (Arc::new(Mutex::new(writer.position())), Arc::new(AtomicBool::new(false)));
    let of_follower = (position.clone(), done.clone(), dir.path().to_owned());
    let following = std::thread::spawn(move || {
        let (position, done, dir) = of_follower;
        let (mut follower, mut got) = (Follower::new(&dir, Position::default()), Vec::new());
        loop {
            let last = done.load(Ordering::SeqCst);
            let until = *position.lock().unwrap();
            let (records, corruptions) = read(&mut follower, Some(until));
            assert_eq!(corruptions, Vec::<String>::new());
            got.extend(records);
            if last {
                return got;
            }
        }
    });
    let mut all = Vec::new();
    for n in 0..400 {
        let records: Vec<_> = (0..3).map(|i| noise(n * 3 + i, (n * 131 % 5_000) as usize)).collect();
        writer.log(&records).unwrap();
        *position.lock().unwrap() = writer.position();
        all.extend(records);
    }
    done.store(true, Ordering::SeqCst);
    assert!(following.join().unwrap() == all);
}
