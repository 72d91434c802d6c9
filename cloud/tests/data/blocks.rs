//! Blocks and rollups say what the batches said, whenever they are made and whatever is killed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fieldgate_cloud::store::query::{Readers, SamplePlace};
use fieldgate_cloud::store::{BlockRules, Hold, RollupRules, SqliteStore, Store as _};
use fieldgate_model::{Millis, Position, Stream, UtcMillis};

use super::history::{ALL, History, Rng, Said, fold, id};
use super::support::{BEGIN, gateway};

/// Small, so that a test makes many blocks.
const BLOCKS: BlockRules = BlockRules { samples_min: 1_500, age: Millis(600_000), blocks_max: 3 };

/// At once, so that a test makes them while data still comes.
const ROLLUPS: RollupRules = RollupRules { quiet: Millis(0), ranges_max: 3, hours_max: 2 };

#[tokio::test]
async fn whatever_is_compacted_and_rolled_up_every_question_has_the_same_answer() {
    for seed in 0..6 {
        let (mut rng, mut history) = (Rng::new(seed), History::new());
        let mut blocks = 0;
        for round in 0..100 {
            history.send(&mut rng);
            history.now = history.now + Millis(rng.below(20_000));
            // Some seeds never compact, and some never roll up.
            if seed % 4 != 1 && rng.below(6) == 0 {
                blocks += history.compact(BLOCKS).await;
            }
            if seed % 4 != 2 && rng.below(6) == 0 {
                history.roll(ROLLUPS).await;
            }
            if round % 25 == 24 {
                check(&history, &mut rng, &format!("seed {seed} round {round}")).await;
            }
        }
        assert!(seed % 4 == 1 || blocks > 5, "seed {seed}: {blocks} blocks test little");
        check_chains(&history, true).await;
        // At rest nothing waits, and the answers are still the same.
        history.now = history.now + Millis(700_000);
        while history.compact(BLOCKS).await + history.roll(ROLLUPS).await > 0 {}
        assert_eq!(history.folder.number("SELECT count(*) FROM rollup_dirty"), 0);
        check(&history, &mut rng, &format!("seed {seed} at rest")).await;
        check_chains(&history, true).await;
    }
}

async fn check(history: &History, rng: &mut Rng, what: &str) {
    for signal in 0..5 {
        let told = history.stored(signal, ALL, 1_000).await;
        same(&told, &history.model(signal, ALL), &format!("{what}, signal {signal}"));
        let at =
            |rng: &mut Rng| UtcMillis(BEGIN.0 - 8_000_000 + rng.below(20_000_000).cast_signed());
        let (one, other) = (at(rng), at(rng));
        let range = (one.min(other), one.max(other) + Millis(1));
        let page = 1 + usize::try_from(rng.below(300)).expect("small");
        let told = history.stored(signal, range, page).await;
        same(&told, &history.model(signal, range), &format!("{what}, {range:?} by {page}"));
        check_summary(history, signal, range, rng, what).await;
    }
}

/// Floats by their bits, since one is no number.
fn same(told: &[Said], model: &[Said], what: &str) {
    assert_eq!(told.len(), model.len(), "{what}");
    for (told, model) in told.iter().zip(model) {
        assert_eq!(format!("{told:?}"), format!("{model:?}"), "{what}");
    }
}

#[expect(clippy::float_cmp, reason = "what is told was said, to the bit")]
async fn check_summary(
    history: &History,
    signal: u32,
    range: (UtcMillis, UtcMillis),
    rng: &mut Rng,
    what: &str,
) {
    let width = Millis(
        [20_000, 120_000, 333_333, 3_600_000, 90_000_000]
            [usize::try_from(rng.below(5)).expect("small")],
    );
    let summary = history.readers.summary(id(signal), range, width).await.expect("an answer");
    let summary = summary.expect("a known signal");
    assert!(!summary.cut);
    assert!(width.0 <= summary.width.0 && summary.width.0 < width.0 + 60_000, "{what}");
    let mut counted = 0;
    for bucket in &summary.buckets {
        let end = bucket.at + summary.width;
        let said = history.model(signal, (range.0.max(bucket.at), range.1.min(end)));
        let (told, model) = (bucket.total, fold(&said));
        let what =
            format!("{what}, signal {signal}, {range:?} every {width:?}, at {:?}", bucket.at);
        assert_eq!((told.count, told.bad), (model.count, model.bad), "{what}");
        if model.count > 0 {
            let of = |t: &fieldgate_cloud::store::Total| [t.min, t.max, t.first, t.last];
            assert_eq!(of(&told), of(&model), "{what}");
            assert!((told.sum - model.sum).abs() <= 1e-9 * model.sum.abs().max(1.0), "{what}");
        }
        counted += told.count + told.bad;
    }
    assert_eq!(counted, history.model(signal, range).len() as u64, "{what}: {range:?}");
}

/// Every leaf is computed from stored bytes; whether all is well is as expected.
async fn check_chains(history: &History, is_well: bool) -> u64 {
    let mut blocks = 0;
    let mut damaged = false;
    for incarnation in history.incarnations() {
        let verified = history.readers.verify(gateway("g1"), incarnation, Stream::Samples).await;
        let verified = verified.expect("an answer");
        damaged |= verified.damage.is_some();
        blocks += verified.blocks;
    }
    assert_eq!(!damaged, is_well);
    blocks
}

#[tokio::test]
async fn a_damaged_block_is_found_and_costs_nothing_but_itself() {
    let (mut rng, mut history) = (Rng::new(3), History::new());
    for _ in 0..80 {
        history.send(&mut rng);
    }
    while history.compact(BLOCKS).await > 0 {}
    let blocks = check_chains(&history, true).await;
    assert!(blocks > 2, "{blocks}");
    let whole = history.stored(0, ALL, 100_000).await.len();
    let connection = rusqlite::Connection::open(history.folder.database()).expect("it opens");
    let (number, mut body): (i64, Vec<u8>) = connection
        .query_row("SELECT id, body FROM block ORDER BY id LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("a block");
    let intact = body.clone();
    for _ in 0..100 {
        let at = usize::try_from(rng.below(body.len() as u64)).expect("small");
        body.clone_from(&intact);
        body[at] ^= 1 << rng.below(8);
        let sql = "UPDATE block SET body = ?2 WHERE id = ?1";
        connection.execute(sql, rusqlite::params![number, body]).expect("is changed");
        check_chains(&history, false).await;
        for signal in 0..5 {
            // The other blocks are still told.
            let told = history.stored(signal, ALL, 100_000).await.len();
            assert!(0 < told && told <= whole, "{told} of {whole}");
        }
    }
}

#[tokio::test]
async fn what_a_feed_needs_stays_as_it_is() {
    let (mut rng, mut history) = (Rng::new(4), History::new());
    for _ in 0..60 {
        history.send(&mut rng);
    }
    let hold = Hold {
        gateway: gateway("g1"),
        incarnation: history.incarnations()[0],
        stream: Stream::Samples,
        holder: "peer".into(),
    };
    history.store.set_hold(&hold, Some(Position(5_000))).expect("is held");
    history.now = history.now + Millis(700_000);
    while history.compact(BLOCKS).await > 0 {}
    let beyond = "SELECT count(*) FROM block WHERE next > 5000 
        AND incarnation = x'01010101010101010101010101010101'";
    assert_eq!(history.folder.number(beyond), 0);
    history.store.set_hold(&hold, None).expect("is let go");
    history.now = history.now + Millis(700_000);
    while history.compact(BLOCKS).await > 0 {}
    assert!(history.folder.number(beyond) > 0);
    check_chains(&history, true).await;
}

#[tokio::test]
async fn what_has_changed_since_it_was_planned_is_left_alone() {
    let (mut rng, mut history) = (Rng::new(5), History::new());
    for _ in 0..60 {
        history.send(&mut rng);
    }
    let planned = history.readers.plan_blocks(BLOCKS, history.now).await.expect("is planned");
    assert!(!planned.is_empty());
    let rolled = history.readers.plan_rollups(ROLLUPS, history.now).await.expect("is planned");
    assert!(!rolled.is_empty());
    for rolled in &rolled {
        let at = UtcMillis(rolled.dirty.from * 3_600_000);
        let end = UtcMillis((rolled.dirty.to - 1) * 3_600_000);
        history.store.mark_dirty(&gateway("g1"), (at, end), history.now).expect("is marked");
    }
    assert_eq!(history.store.roll(&rolled, history.now).expect("is judged"), 0);
    // A better anchor has moved every batch.
    let connection = rusqlite::Connection::open(history.folder.database()).expect("it opens");
    connection.execute("UPDATE batch SET from_at = from_at + 1", []).expect("is moved");
    let batches = history.folder.number("SELECT count(*) FROM batch");
    let put = history.store.compact(&planned, history.now).expect("is judged");
    let kept = planned.iter().filter(|planned| planned.block.is_none()).count();
    assert!(put <= kept, "{put}");
    assert_eq!(history.folder.number("SELECT count(*) FROM batch"), batches);
    // The same plan twice: the second time it is over.
    let planned = history.readers.plan_blocks(BLOCKS, history.now).await.expect("is planned");
    assert!(history.store.compact(&planned, history.now).expect("is put in place") > 0);
    assert_eq!(history.store.compact(&planned, history.now).expect("is judged"), 0);
}

/// The folder in which the other process works, if this is that process.
const WORKER: &str = "FIELDGATE_TEST_UPKEEP";

#[tokio::test]
async fn the_worker_of_the_test_below() {
    let Ok(database) = std::env::var(WORKER) else { return };
    let mut store = SqliteStore::open(database.as_ref()).expect("the store opens");
    let readers = Readers::open(database.as_ref(), 1).expect("readers open");
    let now = BEGIN + Millis(10_000_000);
    let small = BlockRules { samples_min: 300, age: Millis(0), blocks_max: 1 };
    loop {
        let planned = readers.plan_blocks(small, now).await.expect("is planned");
        let rolled = readers.plan_rollups(ROLLUPS, now).await.expect("is planned");
        store.compact(&planned, now).expect("is put in place");
        store.roll(&rolled, now).expect("is put in place");
        if planned.is_empty() && rolled.is_empty() {
            return;
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_of_upkeep_loses_and_doubles_nothing() {
    let (mut rng, mut history) = (Rng::new(6), History::new());
    let mut killed_inside = 0;
    for round in 0..12 {
        for _ in 0..40 {
            history.send(&mut rng);
        }
        let mut worker = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "data::blocks::the_worker_of_the_test_below"])
            .env(WORKER, history.folder.database())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        // A moment that is drawn, from the start of the program on.
        let until = Instant::now() + Duration::from_millis(20 + rng.below(180));
        while Instant::now() < until && worker.try_wait().expect("its state").is_none() {
            tokio::task::yield_now().await;
        }
        killed_inside += u32::from(worker.try_wait().expect("its state").is_none());
        worker.kill().expect("it is killed, or over");
        worker.wait().expect("it is over");
        check_chains(&history, true).await;
        check(&history, &mut rng, &format!("round {round}")).await;
    }
    assert!(killed_inside > 0, "every worker was done before it was killed");
    let told = history.stored(0, ALL, 100_000).await;
    assert!(told.iter().any(|said| matches!(said.place, SamplePlace::Unplaced(..))));
}
