//! A database whose disk has lied: cut, blanked or garbled sectors of its log lose the newest
//! commits as a whole, and the cursor says so; a garbled sector of the file is refused or told.
//!
//! What is lost so is no loss yet: the Welcome tells the older cursor, and gateways send again from
//! there, as after a restored backup.

use std::path::Path;

use fieldgate_cloud::store::{BatchState, Commit, SqliteStore, Store as _, StoreError};
use fieldgate_model::{BootId, CatalogueId, Digest, IncarnationId, Position, Stream, UtcMillis};

use super::history::Rng;
use super::support::{BEGIN, TempDir, gateway, populated, tenant};

/// Commits in the log.
const COMMITS: u64 = 60;
/// What a disk writes as a whole.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut,
    Blank,
    Garble,
}

fn commit(number: u64, body: Vec<u8>) -> Commit {
    Commit {
        tenant: tenant("acme"),
        gateway: gateway("g1"),
        incarnation: IncarnationId([1; 16]),
        stream: Stream::Samples,
        first: Position(number),
        next: Position(number + 1),
        chain: Digest([u8::try_from(number).expect("few commits"); 32]),
        catalogue: Some(CatalogueId([9; 32])),
        boot: BootId([1; 16]),
        mono: None,
        anchors: Vec::new(),
        span: Some((BEGIN, UtcMillis(BEGIN.0 + 1))),
        state: BatchState::Readable,
        samples: 1,
        events: 0,
        alarms: Vec::new(),
        closings: Vec::new(),
        steps: Vec::new(),
        local_writes: Vec::new(),
        body,
    }
}

/// The bytes of the file and of its log, as a power cut would leave them.
fn images() -> (Vec<u8>, Vec<u8>) {
    let folder = TempDir::new();
    // What makes the tenant and its gateways is in the file; only commits are in the log.
    drop(populated(&folder.database()));
    let mut store = SqliteStore::open(&folder.database()).expect("the store opens");
    let mut rng = Rng::new(1);
    for number in 0..COMMITS {
        let body = (0..700).map(|_| u8::try_from(rng.below(256)).expect("a byte")).collect();
        store.commit(&[commit(number, body)], BEGIN).expect("a commit");
    }
    let read = |path: &Path| std::fs::read(path).expect("a small file");
    (read(&folder.database()), read(&folder.path().join("fieldgate.db-wal")))
}

fn damaged(bytes: &[u8], at: usize, damage: Damage, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let end = bytes.len().min(at + SECTOR);
    match damage {
        Damage::Cut => bytes.truncate(at),
        Damage::Blank => bytes[at..end].fill(0),
        Damage::Garble => {
            for byte in &mut bytes[at..end] {
                *byte = u8::try_from(rng.below(256)).expect("a byte");
            }
        }
    }
    bytes
}

/// What a service that opens this image would tell its gateway.
fn committed(file: &[u8], log: &[u8]) -> Result<u64, StoreError> {
    let folder = TempDir::new();
    std::fs::write(folder.database(), file).expect("room on the disk");
    std::fs::write(folder.path().join("fieldgate.db-wal"), log).expect("room on the disk");
    let mut store = SqliteStore::open(&folder.database())?;
    let refused = |why: String| StoreError::File {
        path: folder.database(),
        source: std::io::Error::other(why),
    };
    let told = store.check()?;
    if !told.is_empty() {
        return Err(refused(told.join("; ")));
    }
    // Ingest says so of a gateway that nobody added.
    let state = store.gateway(&gateway("g1"))?;
    let cursors = state.ok_or_else(|| refused("no such gateway".to_owned()))?.cursors;
    drop(store);
    let committed = cursors.first().map_or(0, |cursor| cursor.committed.0);
    let number = |sql| folder.number(sql).cast_unsigned();
    // Batches, cursor, chain and ledger are one commit: all of it is there, or nothing of it.
    let held = (
        number("SELECT count(*) FROM batch"),
        number("SELECT coalesce(max(next), 0) FROM batch"),
        number("SELECT coalesce(sum(samples), 0) FROM ledger"),
    );
    assert_eq!(held, (committed, committed, committed), "half a commit");
    if let Some(cursor) = cursors.first() {
        assert_eq!(u64::from(cursor.chain.0[0]) + 1, committed, "another chain");
    }
    Ok(committed)
}

#[test]
fn a_damaged_log_loses_its_newest_commits_as_a_whole_and_the_cursor_says_so() {
    let (file, log) = images();
    assert_eq!(committed(&file, &log).expect("a sound image"), COMMITS);
    let (mut rng, mut images, mut last) = (Rng::new(2), 0, 0);
    for damage in [Damage::Cut, Damage::Blank, Damage::Garble] {
        // Every sector would take long, and neighbours tell the same.
        for at in (0..log.len()).step_by(SECTOR * 5) {
            let log = damaged(&log, at, damage, &mut rng);
            let committed = committed(&file, &log).expect("a prefix of the log");
            assert!(committed <= COMMITS);
            last = match damage {
                Damage::Cut => {
                    assert!(last <= committed, "{at}: a longer log holds less");
                    committed
                }
                Damage::Blank | Damage::Garble => last,
            };
            images += 1;
        }
    }
    assert!(images > 200, "{images} images test little");
}

#[test]
fn a_damaged_file_is_refused_or_told_and_never_breaks_the_service() {
    let (file, log) = images();
    let (mut rng, mut refused, mut images) = (Rng::new(3), 0, 0);
    for at in (0..file.len()).step_by(SECTOR * 3) {
        let file = damaged(&file, at, Damage::Garble, &mut rng);
        // The log may hold a newer copy of the page; then nothing is lost.
        match committed(&file, &log) {
            Ok(committed) => assert_eq!(committed, COMMITS, "sector at {at}"),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
        images += 1;
    }
    assert!(refused > 5 && images > 30, "{refused} of {images} refused");
}
