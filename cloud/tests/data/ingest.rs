//! Ingest over a real store: what is stored, what is answered, and that nobody suffers for others.

use fieldgate_cloud::store::NewCommand;
use fieldgate_model::{
    AlarmState, CommandId, Content, Event, EventRecord, Gap, GapReason, Millis, Outcome,
    OutcomeRecord, Position,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::{
    Answer, DownKind, JournalState, Present, UpKind, catalogue_id, decode_ack, decode_batch,
    decode_need, decode_pause, decode_welcome, encode_answer, encode_batch, encode_batch_packed,
    encode_present,
};

use super::support::{BEGIN, Gateway, TempDir, World, alarm, catalogue, gateway, tenant};

async fn expect_ack(world: &mut World, committed: u64) {
    let ack = decode_ack(&world.expect(DownKind::Ack).await).expect("an Ack");
    assert_eq!(ack.cursor.committed, Position(committed));
    assert_eq!(ack.releasable, Position(committed));
    assert_eq!(ack.owner.instance.as_str(), "cloud");
}

/// A welcomed gateway whose catalogue is known.
async fn ready(world: &mut World) -> Gateway {
    let gateway = Gateway::new("g1", 1);
    world.welcome(&gateway).await;
    world.send_catalogue("g1", &catalogue()).await;
    gateway
}

#[tokio::test]
async fn a_batch_is_committed_then_acknowledged_and_its_copy_is_harmless() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    let batch = gateway.samples(&catalogue(), 3);
    for _ in 0..2 {
        world.up("g1", UpKind::Batch, batch.clone()).await;
        expect_ack(&mut world, 3).await;
    }
    assert_eq!(folder.number("SELECT count(*) FROM batch"), 1);
    assert_eq!(folder.number("SELECT samples FROM ledger"), 3);
    assert_eq!(folder.number("SELECT state FROM batch"), 0);
    assert_eq!(folder.number("SELECT from_at FROM batch"), BEGIN.0 + 1_000);
    assert_eq!(folder.number("SELECT to_at FROM batch"), BEGIN.0 + 3_000);
    let latest = world.live.latest(&super::support::gateway("g1"));
    assert_eq!(latest.len(), 1, "the live view has the newest sample");
    assert!(!latest[0].provisional);
}

#[tokio::test]
async fn an_early_batch_is_dropped_and_answered_by_the_cursor() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    let first = gateway.samples(&catalogue(), 3);
    let second = gateway.samples(&catalogue(), 2);
    world.up("g1", UpKind::Batch, second.clone()).await;
    expect_ack(&mut world, 0).await;
    world.up("g1", UpKind::Batch, first).await;
    expect_ack(&mut world, 3).await;
    world.up("g1", UpKind::Batch, second).await;
    expect_ack(&mut world, 5).await;
    assert_eq!(folder.number("SELECT count(*) FROM batch"), 2);
}

#[tokio::test]
async fn what_does_not_fit_or_cannot_be_read_is_kept_in_custody() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    // Another chain than its content leads to.
    let catalogue = catalogue_id(&catalogue());
    let mut wrong = gateway.seal(Content::Samples { catalogue, samples: vec![sample()] });
    wrong.chain.0[0] ^= 1;
    // An alarm with a value that is none.
    let mut odd = alarm(1, 1, AlarmState::Active);
    odd.value = f64::NAN;
    let odd = EventRecord { at: Millis(1), event: Event::Alarm(odd) };
    let odd = gateway.seal(Content::Events(vec![odd]));
    for batch in [wrong, odd] {
        world.up("g1", UpKind::Batch, encode_batch(&batch)).await;
        expect_ack(&mut world, 1).await;
    }
    // An encoding that came later: key 8 of the envelope.
    let restart = EventRecord { at: Millis(2), event: Event::Restart { last_durable: None } };
    let mut later = encode_batch(&gateway.seal(Content::Events(vec![restart])));
    let at = later.windows(3).position(|w| w == [8, 2, 9]).expect("the encoding is there");
    later[at + 1] = 23;
    world.up("g1", UpKind::Batch, later).await;
    expect_ack(&mut world, 2).await;
    assert_eq!(folder.number("SELECT count(*) FROM batch WHERE state = 2"), 3);
    assert_eq!(folder.number("SELECT count(*) FROM alarm"), 0);
    assert_eq!(folder.number("SELECT samples + events FROM ledger"), 0);
}

#[tokio::test]
async fn a_packed_batch_is_read_like_a_plain_one() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    let plain = gateway.samples(&catalogue(), 500);
    let batch = decode_batch(&plain).expect("a batch");
    let packed = encode_batch_packed(&batch, &mut Zstd::new());
    assert!(packed.len() < plain.len());
    world.up("g1", UpKind::Batch, packed).await;
    expect_ack(&mut world, 500).await;
    assert_eq!(folder.number("SELECT state FROM batch"), 0);
    assert_eq!(folder.number("SELECT to_at - from_at FROM batch"), 499_000);
}

#[tokio::test]
async fn a_gap_fills_its_range() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    let gap =
        Gap { reason: GapReason::BufferFull, from: Millis(10), to: Millis(20), summary: None };
    let mut gap = gateway.seal(Content::Gap(gap));
    gap.next = Position(gap.first.0 + 5);
    world.up("g1", UpKind::Batch, encode_batch(&gap)).await;
    expect_ack(&mut world, 5).await;
    assert_eq!(folder.number("SELECT state FROM batch"), 1);
    assert_eq!(folder.number("SELECT to_at FROM batch"), BEGIN.0 + 20);
}

#[tokio::test]
async fn an_unknown_catalogue_is_asked_for_and_its_batch_waits() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = Gateway::new("g1", 1);
    world.welcome(&gateway).await;
    let batch = gateway.samples(&catalogue(), 3);
    world.up("g1", UpKind::Batch, batch.clone()).await;
    let need = decode_need(&world.expect(DownKind::Need).await).expect("a Need");
    assert_eq!(need.catalogue, catalogue_id(&catalogue()));
    assert_eq!(folder.number("SELECT count(*) FROM batch"), 0);
    world.send_catalogue("g1", &catalogue()).await;
    world.up("g1", UpKind::Batch, batch).await;
    expect_ack(&mut world, 3).await;
}

#[tokio::test]
async fn after_a_kill_the_welcome_says_what_is_committed() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    let batch = gateway.samples(&catalogue(), 3);
    world.up("g1", UpKind::Batch, batch.clone()).await;
    expect_ack(&mut world, 3).await;
    world.kill().await;
    let mut world = World::start(&folder);
    // The Ack was lost with the connection, so the gateway sends what the cloud has.
    world.up("g1", UpKind::Batch, batch).await;
    expect_ack(&mut world, 3).await;
    let welcome = decode_welcome(&world.welcome(&gateway).await).expect("a Welcome");
    let samples = welcome.cursors.iter().find(|cursor| cursor.committed == Position(3));
    assert!(samples.is_some(), "{welcome:?}");
    assert!(!welcome.contested);
    let next = gateway.samples(&catalogue(), 1);
    world.up("g1", UpKind::Batch, next).await;
    expect_ack(&mut world, 4).await;
    assert_eq!(folder.number("SELECT count(*) FROM batch"), 2);
}

#[tokio::test]
async fn an_outcome_closes_its_command_once_whichever_way_it_comes() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    let command = super::command::write("c1", BEGIN + Millis(60_000));
    let new = NewCommand { command, gateway: gateway.id.clone(), idempotency_key: None };
    let submit = move |store: &mut dyn fieldgate_cloud::store::Store| {
        store.submit_command(&tenant("acme"), &new, BEGIN)
    };
    world.writer.run(submit).await.expect("accepted");
    let id = CommandId::new("c1").expect("an id");
    let outcomes = [Outcome::Done { read_back: None }, Outcome::Interrupted];
    for (committed, outcome) in (1..).zip(outcomes) {
        let record = OutcomeRecord { at: Millis(7), command: id.clone(), outcome };
        let batch = gateway.seal(Content::Outcomes(vec![record]));
        world.up("g1", UpKind::Batch, encode_batch(&batch)).await;
        expect_ack(&mut world, committed).await;
    }
    let answer = Answer::Command { command: id, state: JournalState::Closed(Outcome::Expired) };
    world.up("g1", UpKind::Answer, encode_answer(&answer)).await;
    world.up("g1", UpKind::Batch, gateway.samples(&catalogue(), 1)).await;
    expect_ack(&mut world, 1).await;
    assert_eq!(folder.number("SELECT count(*) FROM command WHERE state = 'done'"), 1);
    assert_eq!(folder.number("SELECT closed_at FROM command"), BEGIN.0 + 7);
}

#[tokio::test]
async fn garbage_and_strangers_are_counted_and_harm_nobody() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = Gateway::new("g1", 1);
    // Before its Welcome nothing but Hello counts.
    world.up("g1", UpKind::Batch, gateway.samples(&catalogue(), 1)).await;
    world.up("nobody", UpKind::Hello, Gateway::new("nobody", 1).hello()).await;
    world.up("g1", UpKind::Hello, Gateway::new("g2", 1).hello()).await;
    let mut gateway = ready(&mut world).await;
    for kind in UpKind::ALL {
        for garbage in [vec![], vec![0xff; 40], vec![0xbf], vec![0x9b, 0xff, 0xff, 0xff, 0xff]] {
            world.up("g1", kind, garbage).await;
        }
    }
    // What is no batch at all is refused for good; of the rest nobody is told.
    for _ in 0..4 {
        world.expect(DownKind::Refuse).await;
    }
    world.up("g1", UpKind::Batch, gateway.samples(&catalogue(), 2)).await;
    expect_ack(&mut world, 2).await;
    assert_eq!(world.metrics.ingest_rejected.get(), 3 + 4 * 5);
}

#[tokio::test]
async fn a_suspended_tenant_is_paused_and_nothing_of_it_gets_in() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut gateway = ready(&mut world).await;
    let suspend = |suspended| {
        move |store: &mut dyn fieldgate_cloud::store::Store| {
            store.set_suspended(&tenant("acme"), suspended, "test", BEGIN)
        }
    };
    world.writer.run(suspend(true)).await.expect("suspended");
    world.set_time(BEGIN + Millis::from_secs(6));
    let batch = gateway.samples(&catalogue(), 2);
    world.up("g1", UpKind::Batch, batch.clone()).await;
    let pause = decode_pause(&world.expect(DownKind::Pause).await).expect("a Pause");
    assert_eq!(pause.reason, fieldgate_wire::PauseReason::Suspended);
    assert_eq!(folder.number("SELECT count(*) FROM batch"), 0);
    world.writer.run(suspend(false)).await.expect("activated");
    world.set_time(BEGIN + Millis::from_secs(12));
    world.up("g1", UpKind::Batch, batch).await;
    expect_ack(&mut world, 2).await;
}

#[tokio::test]
async fn alarms_become_rows_and_the_present_becomes_none() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut sender = ready(&mut world).await;
    let event = Event::Alarm(alarm(1, 1, AlarmState::Active));
    let batch = sender.seal(Content::Events(vec![EventRecord { at: Millis(50), event }]));
    let present = Present {
        boot: batch.boot,
        at: Millis(900),
        utc_offset: Some(BEGIN),
        catalogue: catalogue_id(&catalogue()),
        samples: vec![sample()],
        alarms: vec![alarm(2, 3, AlarmState::Active)],
    };
    world.up("g1", UpKind::Present, encode_present(&present)).await;
    world.up("g1", UpKind::Batch, encode_batch(&batch)).await;
    expect_ack(&mut world, 1).await;
    assert_eq!(folder.number("SELECT count(*) FROM alarm"), 1);
    assert_eq!(folder.number("SELECT raised_at FROM alarm"), BEGIN.0 + 50);
    assert_eq!(folder.number("SELECT count(*) FROM batch"), 1);
    let latest = world.live.latest(&gateway("g1"));
    assert!(latest[0].provisional, "{latest:?}");
}

fn sample() -> fieldgate_model::Sample {
    fieldgate_model::Sample {
        signal: fieldgate_model::SignalIndex(0),
        at: Millis(800),
        value: Some(fieldgate_model::Value::Unsigned(2_301)),
        quality: fieldgate_model::Quality::Good,
    }
}
