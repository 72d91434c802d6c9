//! Commands over a real store: sent once durable, again after a Welcome, and closed somehow.

use fieldgate_cloud::store::{NewCommand, Store};
use fieldgate_model::{
    Action, Command, CommandId, DeviceName, Millis, Outcome, SignalName, UtcMillis, Value,
};
use fieldgate_wire::{
    Answer, DownKind, JournalState, UpKind, decode_command, decode_watch, encode_answer,
};

use super::support::{BEGIN, Gateway, TempDir, World, gateway, tenant};

pub(super) fn write(id: &str, not_after: UtcMillis) -> Command {
    Command {
        id: CommandId::new(id).expect("an id"),
        action: Action::Write {
            device: DeviceName::new("pump").expect("an id"),
            signal: SignalName::new("speed").expect("an id"),
            value: Value::Float64(42.5),
            verify: true,
        },
        not_after,
        retry_safe: false,
        dry_run: false,
        by: "token:1".into(),
    }
}

pub(super) async fn submit(world: &World, id: &str, not_after: UtcMillis) {
    let command = write(id, not_after);
    let new = NewCommand { command, gateway: gateway("g1"), idempotency_key: None };
    let operation = move |store: &mut dyn Store| store.submit_command(&tenant("acme"), &new, BEGIN);
    world.writer.run(operation).await.expect("accepted");
    world.commands.wake(&gateway("g1"));
}

/// Waits until the command is in this state; the tick of the task is real time.
async fn expect_state(folder: &TempDir, state: &str) {
    let sql = format!("SELECT count(*) FROM command WHERE state = '{state}'");
    for _ in 0..200 {
        if folder.number(&sql) == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the command never became {state}");
}

#[tokio::test]
async fn a_command_is_sent_once_it_is_durable_and_again_after_the_next_welcome() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let edge = Gateway::new("g1", 1);
    world.welcome(&edge).await;
    submit(&world, "c1", BEGIN + Millis(60_000)).await;
    let sent = decode_command(&world.expect(DownKind::Command).await).expect("a command");
    assert_eq!(sent.command, write("c1", BEGIN + Millis(60_000)));
    assert_eq!(sent.owner.epoch.0, 1);
    assert_eq!(folder.number("SELECT count(*) FROM command WHERE state = 'sent'"), 1);
    world.kill().await;
    let mut world = World::start(&folder);
    world.welcome(&edge).await;
    let again = decode_command(&world.expect(DownKind::Command).await).expect("a command");
    assert_eq!(again.command.id, sent.command.id);
    let state = JournalState::Closed(Outcome::Done { read_back: None });
    let answer = Answer::Command { command: again.command.id, state };
    world.up("g1", UpKind::Answer, encode_answer(&answer)).await;
    expect_state(&folder, "done").await;
}

/// Behind a broker a gateway does not notice that the cloud was killed, and says no Hello.
#[tokio::test]
async fn after_a_kill_a_gateway_that_goes_on_sending_is_commanded_without_a_hello() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let mut edge = Gateway::new("g1", 1);
    world.welcome(&edge).await;
    world.kill().await;
    let mut world = World::start(&folder);
    submit(&world, "c1", BEGIN + Millis(60_000)).await;
    let batch = edge.samples(&super::support::catalogue(), 3);
    world.up("g1", UpKind::Batch, batch).await;
    let sent = decode_command(&world.wait_for(DownKind::Command).await).expect("a command");
    assert_eq!(sent.command.id.as_str(), "c1");
    assert_eq!(sent.owner.epoch.0, 1);
}

#[tokio::test]
async fn a_command_for_an_absent_gateway_expires_unsent() {
    let folder = TempDir::new();
    let world = World::start(&folder);
    submit(&world, "c1", BEGIN + Millis(1_000)).await;
    world.set_time(BEGIN + Millis(1_000));
    expect_state(&folder, "expired").await;
    assert_eq!(folder.number("SELECT count(*) FROM command WHERE sent_at IS NOT NULL"), 0);
}

#[tokio::test]
async fn a_sent_command_without_a_word_is_unconfirmed_until_the_gateway_returns() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    let edge = Gateway::new("g1", 1);
    world.welcome(&edge).await;
    submit(&world, "c1", BEGIN + Millis(1_000)).await;
    world.expect(DownKind::Command).await;
    world.set_time(BEGIN + Millis(61_000));
    expect_state(&folder, "unconfirmed").await;
    world.welcome(&edge).await;
    world.expect(DownKind::Command).await;
    let id = CommandId::new("c1").expect("an id");
    let answer = Answer::Command { command: id, state: JournalState::Closed(Outcome::Expired) };
    world.up("g1", UpKind::Answer, encode_answer(&answer)).await;
    expect_state(&folder, "expired").await;
}

#[tokio::test]
async fn a_watched_gateway_is_asked_for_its_present() {
    let folder = TempDir::new();
    let mut world = World::start(&folder);
    world.welcome(&Gateway::new("g1", 1)).await;
    let watching = world.live.watch(&gateway("g1"));
    let watch = decode_watch(&world.expect(DownKind::Watch).await).expect("a Watch");
    assert_eq!(watch.until, BEGIN + Millis(30_000));
    drop(watching);
}
