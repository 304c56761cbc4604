//! Files named by their content.

use crate::support::body;
use ppu_store::{
    ArtifactError, ArtifactHash, ArtifactStore, CrashKeep, Disk, OpenMode, RealDisk, SimDisk, SimFault,
    write_atomically, write_atomically_on,
};
use std::path::{Path, PathBuf};

const ROOT: &str = "/data/artifacts";

fn path(hash: &ArtifactHash) -> PathBuf {
    let digits = hash.to_string();
    Path::new(ROOT).join(&digits[..2]).join(&digits[2..])
}

#[test]
fn content_comes_back_under_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(RealDisk, dir.path().join("artifacts")).unwrap();
    let content = body(1, 300_000);
    let stored = store.put(&content).unwrap();
    assert_eq!((stored.hash, stored.bytes, stored.existed), (ArtifactHash::of(&content), 300_000, false));
    assert!(store.put(&content).unwrap().existed);
    let mut pieces = store.begin().unwrap();
    for piece in content.chunks(777) {
        pieces.write(piece).unwrap();
    }
    assert_eq!(pieces.finish().unwrap().hash, stored.hash);
    assert_eq!(store.get(&stored.hash).unwrap(), content);
    let empty = store.put(&[]).unwrap();
    assert_eq!(store.get(&empty.hash).unwrap(), b"");
    let mut both = vec![stored.hash, empty.hash];
    both.sort();
    assert_eq!(store.list().unwrap(), both);
    let unknown = ArtifactHash([9; 32]);
    assert!(matches!(store.get(&unknown), Err(ArtifactError::NotFound(hash)) if hash == unknown));
    assert!(!store.contains(&unknown).unwrap() && store.contains(&stored.hash).unwrap());
    assert_eq!(stored.hash.to_string().parse(), Ok(stored.hash));
    assert_eq!(store.clear_incoming().unwrap(), 0);
}

#[test]
fn every_flipped_bit_is_noticed_and_never_served() {
    let disk = SimDisk::new(1);
    let store = ArtifactStore::open(disk.clone(), ROOT).unwrap();
    let content = body(1, 60);
    for bit in 0..480 {
        let stored = store.put(&content).unwrap();
        assert!(!stored.existed);
        disk.flip_bit(path(&stored.hash), bit).unwrap();
        let Err(ArtifactError::Quarantined(away)) = store.get(&stored.hash) else {
            panic!("bit {bit} was served");
        };
        assert_eq!(away.hash, stored.hash);
        assert!(disk.open(&away.moved_to, OpenMode::Read).is_ok(), "the evidence is kept");
        assert!(matches!(store.get(&stored.hash), Err(ArtifactError::NotFound(_))));
    }
}

#[test]
fn a_name_that_exists_is_verified_and_replaced_if_its_content_changed() {
    let disk = SimDisk::new(1);
    let store = ArtifactStore::open(disk.clone(), ROOT).unwrap();
    let hash = store.put(b"spectrum").unwrap().hash;
    disk.flip_bit(path(&hash), 3).unwrap();
    assert!(!store.put(b"spectrum").unwrap().existed);
    assert_eq!(store.get(&hash).unwrap(), b"spectrum");
}

#[test]
fn a_scrub_finds_what_nobody_reads() {
    let disk = SimDisk::new(1);
    let store = ArtifactStore::open(disk.clone(), ROOT).unwrap();
    let hashes: Vec<_> = (0..5).map(|number| store.put(&body(number, 100)).unwrap().hash).collect();
    disk.truncate(path(&hashes[3]), 40).unwrap();
    let report = store.scrub().unwrap();
    assert_eq!((report.sound, report.bytes, report.quarantined.len()), (4, 400, 1));
    assert_eq!(report.quarantined[0].hash, hashes[3]);
    store.set_aside_orphan(&hashes[0]).unwrap();
    assert!(matches!(store.set_aside_orphan(&hashes[0]), Err(ArtifactError::NotFound(_))));
    assert_eq!(store.list().unwrap().len(), 3);
}

#[test]
fn a_power_cut_at_any_operation_leaves_a_whole_artifact_or_none() {
    let quiet = SimDisk::new(0);
    let content = body(1, 2000);
    ArtifactStore::open(quiet.clone(), ROOT).unwrap().put(&content).unwrap();
    for at in 1..=quiet.operations() {
        for keep in [CrashKeep::Nothing, CrashKeep::Random, CrashKeep::Everything] {
            let disk = SimDisk::new(at);
            disk.crash_at_operation(at);
            let stored = ArtifactStore::open(disk.clone(), ROOT).and_then(|store| store.put(&content)).is_ok();
            disk.crash(keep);
            let store = ArtifactStore::open(disk.clone(), ROOT).unwrap();
            match store.get(&ArtifactHash::of(&content)) {
                Ok(found) => assert_eq!(found, content),
                Err(ArtifactError::NotFound(_)) => assert!(!stored, "operation {at}, {keep:?}"),
                Err(other) => panic!("operation {at}, {keep:?}: {other}"),
            }
            store.clear_incoming().unwrap();
            store.put(&content).unwrap();
            disk.crash(CrashKeep::Nothing);
            assert_eq!(store.get(&ArtifactHash::of(&content)).unwrap(), content);
        }
    }
}

#[test]
fn a_failed_put_leaves_nothing_behind() {
    let disk = SimDisk::new(1);
    let store = ArtifactStore::open(disk.clone(), ROOT).unwrap();
    disk.set_capacity(Some(1000));
    let failed = store.put(&body(1, 5000));
    assert!(matches!(failed, Err(ArtifactError::Disk(_))));
    assert_eq!(disk.list(&Path::new(ROOT).join("incoming")).unwrap(), Vec::<String>::new());
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn a_small_file_is_replaced_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.toml");
    write_atomically(&file, b"one").unwrap();
    write_atomically(&file, b"two").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"two");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

    for at in 1..=4 {
        for keep in [CrashKeep::Nothing, CrashKeep::Random] {
            let disk = SimDisk::new(at);
            disk.create_dir_all(Path::new(ROOT)).unwrap();
            let file = Path::new(ROOT).join("state");
            write_atomically_on(&disk, &file, b"old").unwrap();
            disk.crash_at_operation(at);
            let acknowledged = write_atomically_on(&disk, &file, b"new").is_ok();
            disk.crash(keep);
            let mut bytes = [0; 3];
            use ppu_store::DiskFile;
            disk.open(&file, OpenMode::Read).unwrap().read(&mut bytes, 0).unwrap();
            assert!(bytes == *b"new" || (bytes == *b"old" && !acknowledged));
        }
    }
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new(ROOT)).unwrap();
    disk.fail_nth(ppu_store::DiskOperation::Sync, 1, SimFault::Eio);
    assert!(write_atomically_on(&disk, Path::new(ROOT).join("state"), b"x").is_err());
    assert!(disk.list(Path::new(ROOT)).unwrap().is_empty());
}
