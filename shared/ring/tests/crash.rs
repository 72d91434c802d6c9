//! The ring on a disk that loses, tears and reorders what was not synced, and rots what was.
//!
//! Nothing is compared with what the code under test believes: the test keeps which records were
//! synced, and what the database had taken of them.

use fieldgate_ring::{
    BLOCK_BYTES, BLOCKS_MIN, Fault, PairId, Ring, StoreView, Write, plan, recover,
};

/// Worlds, of which each is cut at every write and damaged at several places.
const WORLDS: u64 = 60;
const PAIR: PairId = PairId([7; 16]);
/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// A small generator, so that a seed replays.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }
}

/// What is known for sure.
struct World {
    dice: Rng,
    ring: Ring,
    image: Vec<u8>,
    /// Bodies of the synced records, from record 1 on.
    synced: Vec<Vec<u8>>,
    through: u64,
    images: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let (ring, image) = Ring::create(PAIR, BLOCKS_MIN, 1, b"first");
        let dice = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { dice, ring, image, synced: vec![b"first".to_vec()], through: 0, images: 0 }
    }

    /// One flush: the power may go before its sync, and does in a copy.
    fn step(&mut self) {
        let length = match self.dice.below(4) {
            0 => self.dice.below(30_000),
            1 => self.dice.below(9_000),
            _ => self.dice.below(4_000),
        };
        let start = self.dice.next().to_le_bytes();
        let body: Vec<u8> = start.iter().copied().cycle().take(length).collect();
        let Ok(prepared) = self.ring.prepare(&body) else {
            self.take();
            return;
        };
        for _ in 0..4 {
            let torn = self.torn(&prepared.writes);
            self.check(&torn, Some(&body), "torn");
        }
        for write in &prepared.writes {
            apply(&mut self.image, write);
        }
        self.ring.synced(&prepared);
        self.synced.push(body);
        let image = self.image.clone();
        self.check(&image, None, "synced");
        let (rotten, what) = self.rotten();
        self.check_damaged(&rotten, what);
        if self.dice.below(12) == 0 {
            self.take();
        }
    }

    /// The database takes everything, or has not heard of the last ones.
    fn take(&mut self) {
        let behind = self.dice.below(3) as u64;
        self.through = self.through.max(self.ring.newest().saturating_sub(behind));
        self.ring.taken(self.through);
    }

    /// The image if any part of the writes had come through.
    fn torn(&mut self, writes: &[Write]) -> Vec<u8> {
        let mut image = self.image.clone();
        for write in writes {
            let start = usize::try_from(write.offset).expect("a small ring");
            for (at, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
                let from = start + at * SECTOR_BYTES;
                match self.dice.below(8) {
                    0..3 => {}
                    3 => image[from..from + sector.len()].fill(0xee),
                    _ => image[from..from + sector.len()].copy_from_slice(sector),
                }
            }
        }
        image
    }

    /// The image with something in it that nobody has written.
    fn rotten(&mut self) -> (Vec<u8>, &'static str) {
        let mut image = self.image.clone();
        let sectors = image.len() / SECTOR_BYTES;
        let from = self.dice.below(sectors) * SECTOR_BYTES;
        let sector = from..from + SECTOR_BYTES;
        let block = from / BLOCK_BYTES * BLOCK_BYTES;
        let what = match self.dice.below(6) {
            0 => {
                let bit = self.dice.below(image.len() * 8);
                image[bit / 8] ^= 1 << (bit % 8);
                "one bit"
            }
            1 => {
                image[sector].fill(0);
                "a sector of zeros"
            }
            2 => {
                image[block..block + BLOCK_BYTES].fill(0);
                "a block of zeros"
            }
            3 => {
                image[sector].fill(0x5a);
                "a sector of garbage"
            }
            4 => {
                let cut = self.dice.below(image.len());
                image.truncate(cut);
                "cut"
            }
            _ => {
                let other = self.dice.below(image.len() / BLOCK_BYTES) * BLOCK_BYTES;
                image.copy_within(other..other + BLOCK_BYTES, block);
                "a block from elsewhere"
            }
        };
        (image, what)
    }

    /// What is synced and not taken is there; beyond it at most what was under way.
    fn check(&mut self, image: &[u8], under_way: Option<&[u8]>, what: &str) {
        self.images += 1;
        let recovery = recover(image).unwrap_or_else(|| panic!("{what}: no record is found"));
        let (newest, synced) = (recovery.newest(), self.synced.len() as u64);
        assert!(newest == synced || newest == synced + 1 && under_way.is_some(), "{what}");
        assert!(recovery.oldest() <= self.through + 1, "{what}: a hole");
        for record in &recovery.records {
            let at = usize::try_from(record.sequence - 1).expect("few records");
            let expected = self.synced.get(at).map(Vec::as_slice).or(under_way);
            assert_eq!(
                Some(record.body.as_slice()),
                expected,
                "{what}: record {}",
                record.sequence
            );
        }
        let store = StoreView { pair: PAIR, through: self.through };
        let plan = plan(Some(store), Some(&recovery), true);
        assert!(under_way.is_some() || plan.fault.is_none(), "{what}: {plan:?}");
        assert_eq!(plan.next_sequence, newest + 1);
    }

    /// Either everything is there, or a fault is told; and nothing is there that was not written.
    fn check_damaged(&mut self, image: &[u8], what: &str) {
        self.images += 1;
        let recovery = recover(image);
        let store = StoreView { pair: PAIR, through: self.through };
        let plan = plan(Some(store), recovery.as_ref(), true);
        let records = recovery.map(|recovery| recovery.records).unwrap_or_default();
        for record in &records {
            let at = usize::try_from(record.sequence - 1).expect("few records");
            assert_eq!(self.synced.get(at), Some(&record.body), "{what}: invented");
        }
        let is_there = |sequence| records.iter().any(|record| record.sequence == sequence);
        let is_whole = (self.through + 1..=self.synced.len() as u64).all(is_there);
        assert!(is_whole || plan.fault.is_some(), "{what}: a silent loss");
    }
}

fn apply(image: &mut [u8], write: &Write) {
    let from = usize::try_from(write.offset).expect("a small ring");
    image[from..from + write.bytes.len()].copy_from_slice(&write.bytes);
}

#[test]
fn no_crash_and_no_rot_loses_a_synced_record_in_silence() {
    let worlds = WORLDS * if std::env::var_os("FIELDGATE_LONG").is_some() { 50 } else { 1 };
    let mut images = 0;
    for seed in 1..=worlds {
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.step();
        }
        images += world.images;
    }
    assert!(worlds * 100 < images, "{images} images of {worlds} worlds");
    // Shown with `--nocapture`, and by `tests/run`.
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{images} images\n"))
        .expect("stdout");
}

#[test]
fn a_ring_goes_on_where_it_was_and_over_what_was_taken() {
    let (mut ring, mut image) = Ring::create(PAIR, BLOCKS_MIN, 5, b"first");
    for number in 0..2_000_u32 {
        let body = number.to_le_bytes().repeat(1 + usize::try_from(number % 2_100).expect("small"));
        let prepared = ring.prepare(&body).expect("the database keeps up");
        prepared.writes.iter().for_each(|write| apply(&mut image, write));
        ring.synced(&prepared);
        let newest = ring.newest();
        ring.taken(newest - 1);
        let recovery = recover(&image).expect("records");
        assert_eq!(recovery.records.last().map(|record| &record.body), Some(&body));
        ring = Ring::resume(&recovery, newest - 1);
        assert_eq!(ring.newest(), newest);
    }
}

#[test]
fn a_full_ring_takes_nothing_until_the_database_does() {
    let (mut ring, _) = Ring::create(PAIR, BLOCKS_MIN, 1, b"first");
    for _ in 1..BLOCKS_MIN {
        let prepared = ring.prepare(b"one block").expect("room");
        ring.synced(&prepared);
    }
    assert!(ring.prepare(b"").is_err());
    ring.taken(1);
    assert!(ring.prepare(b"one block").is_ok());
}

#[test]
fn ring_and_database_know_when_they_do_not_belong_together() {
    let (ring, mut image) = Ring::create(PAIR, BLOCKS_MIN, 5, b"first");
    let prepared = ring.prepare(b"second").expect("room");
    prepared.writes.iter().for_each(|write| apply(&mut image, write));
    let recovery = recover(&image).expect("two records: 5 and 6");
    let view = |pair, through| Some(StoreView { pair, through });
    let other = PairId([8; 16]);
    for (store, ring, was_there, fault, keeps_ring) in [
        (None, None, false, None, false),
        (None, None, true, Some(Fault::Damaged), false),
        (None, Some(&recovery), true, Some(Fault::Missing), true),
        (view(PAIR, 6), None, false, Some(Fault::Missing), false),
        (view(PAIR, 6), None, true, Some(Fault::Damaged), false),
        (view(PAIR, 6), Some(&recovery), true, None, true),
        (view(PAIR, 4), Some(&recovery), true, None, true),
        (view(PAIR, 3), Some(&recovery), true, Some(Fault::WentBack), true),
        (view(PAIR, 7), Some(&recovery), true, Some(Fault::WentBack), false),
        (view(other, 6), Some(&recovery), true, Some(Fault::WentBack), false),
    ] {
        let plan = plan(store, ring, was_there);
        assert_eq!((plan.fault, plan.keeps_ring), (fault, keeps_ring), "{store:?} {ring:?}");
    }
}
