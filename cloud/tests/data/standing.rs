//! A gateway's standing: doubted, readopted, suspended, decommissioned; and what is refused for good.

use fieldgate_cloud::store::{
    AlarmChange, CommandState, Commit, LocalWrite, StepTaken, Store, StoreError,
};
use fieldgate_model::{
    AlarmState, CommandId, CommandStep, Doubt, DoubtCause, Hello, IncarnationId, Millis, Position,
    Stream, UtcMillis,
};
use fieldgate_wire::{
    DownKind, UpKind, decode_ack, decode_batch, decode_command, decode_hello, decode_refuse,
    decode_welcome, encode_batch, encode_hello, message_digest,
};

use super::command::submit;
use super::store::{batch, command, each_store, id, state_of};
use super::support::{BEGIN, Gateway, TempDir, World, alarm, catalogue, gateway, tenant};

fn doubting(of: &Gateway, since: Option<u64>) -> Vec<u8> {
    let hello = decode_hello(&of.hello()).expect("its own Hello");
    let doubt = Some(Doubt { cause: DoubtCause::Forked, since });
    encode_hello(&Hello { doubt, ..hello })
}

async fn readopt(world: &World) -> u64 {
    let operation =
        |store: &mut dyn Store| store.readopt(Some(&tenant("acme")), &gateway("g1"), "anna", BEGIN);
    world.writer.run(operation).await.expect("readopted")
}

async fn contested(world: &mut World, hello: Vec<u8>) -> bool {
    world.up("g1", UpKind::Hello, hello).await;
    decode_welcome(&world.wait_for(DownKind::Welcome).await).expect("a Welcome").contested
}

#[tokio::test]
async fn a_gateway_that_doubts_itself_is_commanded_only_after_somebody_readopted_it() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let edge = Gateway::new("g1", 1);
    assert!(contested(&mut world, doubting(&edge, Some(0))).await);
    assert_eq!(folder.number("SELECT count(*) FROM gateway WHERE doubt = 'forked'"), 1);
    submit(&world, "c1", BEGIN + Millis(600_000)).await;
    // It is durable: neither a plain Hello nor a restart of the cloud ends it.
    world.kill().await;
    let mut world = World::start(&folder);
    assert!(contested(&mut world, edge.hello()).await);
    assert_eq!(readopt(&world).await, 1);
    assert!(!contested(&mut world, doubting(&edge, Some(0))).await, "the doubt is older");
    world.expect(DownKind::Command).await;
    assert!(contested(&mut world, doubting(&edge, Some(1))).await, "a later doubt counts");
}

#[tokio::test]
async fn a_connected_gateway_is_commanded_soon_after_its_readoption() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut edge = Gateway::new("g1", 1);
    assert!(contested(&mut world, doubting(&edge, Some(0))).await);
    submit(&world, "c1", BEGIN + Millis(600_000)).await;
    readopt(&world).await;
    world.set_time(BEGIN + Millis::from_secs(6));
    world.up("g1", UpKind::Batch, edge.samples(&catalogue(), 1)).await;
    world.wait_for(DownKind::Command).await;
}

#[tokio::test]
async fn a_suspended_tenants_gateway_is_not_commanded_though_it_was_welcomed() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let edge = Gateway::new("g1", 1);
    world.welcome(&edge).await;
    let suspend = |suspended| {
        move |store: &mut dyn Store| store.set_suspended(&tenant("acme"), suspended, "test", BEGIN)
    };
    world.writer.run(suspend(true)).await.expect("suspended");
    submit(&world, "c1", BEGIN + Millis(600_000)).await;
    // Whatever the command task does with the wake-up, it has done before it hears of the next.
    world.welcome(&Gateway::new("g2", 2)).await;
    assert_eq!(folder.number("SELECT count(*) FROM command WHERE state = 'accepted'"), 1);
    world.writer.run(suspend(false)).await.expect("activated");
    world.commands.wake(&gateway("g1"));
    world.wait_for(DownKind::Command).await;
}

#[tokio::test]
async fn an_envelope_that_cannot_be_read_is_refused_by_the_digest_of_its_bytes() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    world.welcome(&Gateway::new("g1", 1)).await;
    let broken = b"no batch at all".to_vec();
    world.up("g1", UpKind::Batch, broken.clone()).await;
    let refuse = decode_refuse(&world.expect(DownKind::Refuse).await).expect("a Refuse");
    assert_eq!(refuse.message, message_digest(&broken));
}

#[tokio::test]
async fn a_batch_that_the_database_cannot_hold_harms_no_other_gateway() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let (mut bad, mut good) = (Gateway::new("g1", 1), Gateway::new("g2", 2));
    world.welcome(&bad).await;
    world.welcome(&good).await;
    world.send_catalogue("g1", &catalogue()).await;
    world.send_catalogue("g2", &catalogue()).await;
    let connection = rusqlite::Connection::open(folder.database()).expect("the database opens");
    connection
        .execute_batch(
            "CREATE TRIGGER cannot BEFORE INSERT ON batch WHEN NEW.gateway = 'g1'
             BEGIN SELECT raise(ABORT, 'cannot be held'); END",
        )
        .expect("a trigger");
    let poison = bad.samples(&catalogue(), 3);
    world.up("g1", UpKind::Batch, poison.clone()).await;
    world.up("g2", UpKind::Batch, good.samples(&catalogue(), 4)).await;
    let (mut refused, mut acked) = (None, None);
    while refused.is_none() || acked.is_none() {
        let down = world.next().await;
        match down.kind {
            DownKind::Refuse => refused = Some(decode_refuse(&down.payload).expect("a Refuse")),
            DownKind::Ack => acked = Some(decode_ack(&down.payload).expect("an Ack")),
            DownKind::Welcome
            | DownKind::Need
            | DownKind::Pause
            | DownKind::Command
            | DownKind::Watch => panic!("{:?} to {}", down.kind, down.gateway),
        }
    }
    assert_eq!(refused.map(|refuse| refuse.message), Some(message_digest(&poison)));
    assert_eq!(acked.map(|ack| ack.cursor.committed), Some(Position(4)));
    // It comes again and is judged again: nothing of it stuck in memory.
    world.up("g1", UpKind::Batch, poison).await;
    world.expect(DownKind::Refuse).await;
}

#[test]
fn a_readoption_is_not_undone_by_what_was_found_before_it() {
    each_store(|store, folder| {
        let reservation = fieldgate_cloud::store::Reservation {
            gateway: gateway("g1"),
            epoch: fieldgate_model::Epoch(1),
            boot: fieldgate_model::BootId([2; 16]),
            contested: true,
            doubt: Some("twin"),
            readopted: 0,
            software: String::new(),
            generation: 0,
        };
        store.reserve(&reservation, BEGIN).expect("reserved");
        assert!(!store.may_command(&gateway("g1")).expect("asked"));
        assert_eq!(store.readopt(None, &gateway("g1"), "anna", BEGIN).expect("readopted"), 1);
        assert!(store.may_command(&gateway("g1")).expect("asked"));
        // The same finding, which was on its way meanwhile.
        store.reserve(&reservation, BEGIN).expect("reserved");
        assert!(store.may_command(&gateway("g1")).expect("asked"));
        let foreign = store.readopt(Some(&tenant("other")), &gateway("g1"), "eve", BEGIN);
        assert!(matches!(foreign, Err(StoreError::NotFound { .. })));
        let sql = "SELECT count(*) FROM audit WHERE action = 'gateway.readopt' AND actor = 'anna'";
        assert_eq!(folder.number(sql), 1);
    });
}

#[test]
fn decommissioning_closes_what_is_open_and_shuts_the_gateway_out() {
    each_store(|store, folder| {
        let acme = tenant("acme");
        for name in ["c1", "c2", "c3"] {
            store.submit_command(&acme, &command(name, None), BEGIN).expect("accepted");
        }
        for name in ["c2", "c3"] {
            store.mark_sent(&id(name), BEGIN).expect("sent");
        }
        store.mark_unconfirmed(&id("c3"), BEGIN).expect("silent");
        assert_eq!(store.decommission(None, &gateway("g1"), "anna", BEGIN).expect("gone"), 3);
        assert_eq!(state_of(folder, "c1"), CommandState::Cancelled.as_str());
        assert_eq!(state_of(folder, "c2"), CommandState::Interrupted.as_str());
        assert_eq!(state_of(folder, "c3"), CommandState::Interrupted.as_str());
        assert_eq!(store.gateway_secret(&gateway("g1")).expect("asked"), None);
        assert!(!store.may_command(&gateway("g1")).expect("asked"));
        let late = store.submit_command(&acme, &command("c4", None), BEGIN);
        assert!(matches!(late, Err(StoreError::State { .. })), "{late:?}");
    });
}

#[test]
fn steps_and_local_writes_are_kept_with_their_times_and_authors() {
    each_store(|store, folder| {
        store.submit_command(&tenant("acme"), &command("c1", None), BEGIN).expect("accepted");
        let step = |step, at| StepTaken {
            command: CommandId::new("c1").expect("an id"),
            step,
            at: Some(UtcMillis(at)),
        };
        let local_write = LocalWrite {
            uid: 1000,
            target: "pump/speed".into(),
            value: "42.5".into(),
            done: true,
            at: Some(UtcMillis(30)),
        };
        let commit = Commit {
            stream: Stream::Events,
            steps: vec![step(CommandStep::Received, 10), step(CommandStep::Started, 20)],
            local_writes: vec![local_write],
            ..batch(0, 3)
        };
        store.commit(std::slice::from_ref(&commit), BEGIN).expect("committed");
        store.commit(&[commit], BEGIN).expect("again is harmless");
        assert_eq!(folder.number("SELECT received_at FROM command"), 10);
        assert_eq!(folder.number("SELECT started_at FROM command"), 20);
        let sql = "SELECT count(*) FROM audit WHERE action = 'device.write' AND at = 30
                       AND actor = 'uid 1000 on g1' AND target = 'g1/pump/speed'";
        assert_eq!(folder.number(sql), 1);
    });
}

#[test]
fn a_gateway_that_lost_its_counters_does_not_hide_behind_what_it_said_before() {
    each_store(|store, folder| {
        let events = |life: u8, first: u64, transition| Commit {
            stream: Stream::Events,
            incarnation: IncarnationId([life; 16]),
            alarms: vec![AlarmChange {
                transition,
                at: Some(UtcMillis(100 + first.cast_signed())),
            }],
            ..batch(first, first + 1)
        };
        let active = || folder.number("SELECT count(*) FROM alarm WHERE state = 'active'");
        let mut say = |life, first, occurrence, transition, state| {
            let change = alarm(occurrence, transition, state);
            store.commit(&[events(life, first, change)], BEGIN).expect("committed");
        };
        say(1, 0, 1, 1, AlarmState::Active);
        say(1, 1, 1, 2, AlarmState::Normal);
        say(1, 2, 2, 3, AlarmState::Active);
        // A new life that has kept its counters goes on with the same rows.
        say(2, 0, 2, 4, AlarmState::Normal);
        assert_eq!(folder.number("SELECT count(*) FROM alarm"), 2);
        say(2, 1, 3, 5, AlarmState::Active);
        // One that has lost them counts from 1 again: a row of its own, and the old one is over.
        say(3, 0, 1, 1, AlarmState::Active);
        assert_eq!(folder.number("SELECT count(*) FROM alarm"), 4);
        assert_eq!(active(), 1);
        say(3, 1, 1, 2, AlarmState::Normal);
        assert_eq!(active(), 0);
    });
}

#[tokio::test]
async fn a_gateway_that_believes_in_another_century_is_taken_at_its_word() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut edge = Gateway::new("g1", 1);
    world.welcome(&edge).await;
    world.send_catalogue("g1", &catalogue()).await;
    let batch = edge.samples(&catalogue(), 1);
    let mut batch = decode_batch(&batch).expect("its own batch");
    // 2099-01-01, which is outside the digest.
    batch.utc_offset = Some(UtcMillis(4_070_908_800_000));
    world.up("g1", UpKind::Batch, encode_batch(&batch)).await;
    world.wait_for(DownKind::Ack).await;
    assert_eq!(folder.number("SELECT from_at / 1000 FROM batch"), 4_070_908_801);
    // Its commands are judged by the clock of whoever accepted them.
    submit(&world, "c1", BEGIN + Millis(1_000)).await;
    let sent = decode_command(&world.wait_for(DownKind::Command).await).expect("a command");
    assert_eq!(sent.command.not_after, BEGIN + Millis(1_000));
}
