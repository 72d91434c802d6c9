//! What the simulation has found once, held by the shortest story that shows it.

use fieldgate_model::{
    Action, BootId, Command, CommandId, Cursor, DeviceName, Digest, Epoch, GapReason, GatewayId,
    Head, Hello, IncarnationId, InstanceId, Millis, Outcome, Owner, Position, SignalName, Stream,
    UtcMillis, Value, Welcome,
};
use fieldgate_protocol::command::{Entry, EntryState, Executor, ExecutorEffect};
use fieldgate_protocol::uplink::{
    BatchHead, Chain, HeldLine, Receiver, ReceiverEffect, Sender, SenderEffect, StoredGateway,
};

const LIFE: IncarnationId = IncarnationId([1; 16]);
const NOW: Millis = Millis(1_000);

struct NoChain;

impl Chain for NoChain {
    fn start(&self, _: IncarnationId, _: Stream) -> Digest {
        Digest([0; 32])
    }

    fn link(&self, before: Digest, _: Digest) -> Digest {
        before
    }
}

fn line(first: u64, released: u64, stored: u64) -> HeldLine {
    HeldLine {
        incarnation: LIFE,
        stream: Stream::Samples,
        first: Position(first),
        released: Position(released),
        stored: Position(stored),
        chain: Digest([0; 32]),
    }
}

fn owner() -> Owner {
    Owner { instance: InstanceId::new("a").expect("an id"), epoch: Epoch(1) }
}

fn welcome(committed: u64) -> Welcome {
    let cursor = Cursor {
        incarnation: LIFE,
        stream: Stream::Samples,
        committed: Position(committed),
        chain: Digest([0; 32]),
    };
    let (owner, utc, cursors) = (owner(), UtcMillis(0), vec![cursor]);
    Welcome { owner, utc, cursors, contested: false, readopted: 0 }
}

fn live(held: HeldLine, committed: u64) -> Sender {
    let mut sender = Sender::resume(vec![held]);
    sender.handle_connected(NOW);
    assert_eq!(sender.poll_effect(), Some(SenderEffect::Greet));
    sender.handle_welcome(&welcome(committed), |cursor| Some(cursor.chain));
    sender
}

fn send(first: u64) -> SenderEffect {
    let (incarnation, stream) = (LIFE, Stream::Samples);
    SenderEffect::Send { incarnation, stream, first: Position(first) }
}

fn gap(first: u64, next: u64) -> SenderEffect {
    let (incarnation, stream) = (LIFE, Stream::Samples);
    let (first, next, reason) = (Position(first), Position(next), GapReason::BufferFull);
    SenderEffect::SendGap { incarnation, stream, first, next, reason }
}

#[test]
fn a_sender_goes_on_when_its_lines_change_although_nothing_else_happens() {
    let mut sender = live(line(0, 0, 9), 0);
    assert_eq!(sender.poll_effect(), Some(send(0)));
    sender.handle_lines(vec![line(0, 0, 9)]);
    assert_eq!(sender.poll_effect(), Some(send(0)));
}

#[test]
fn what_gave_way_unsent_is_declared_from_the_cursor_on_the_same_connection() {
    let mut sender = live(line(0, 0, 9), 0);
    sender.handle_lines(vec![line(6, 6, 9)]);
    assert_eq!(sender.poll_effect(), Some(gap(0, 6)));
}

#[test]
fn a_batch_that_cannot_be_loaded_is_tried_again_by_a_timer() {
    let mut sender = live(line(0, 0, 9), 0);
    assert_eq!(sender.poll_effect(), Some(send(0)));
    sender.handle_absent(LIFE, Stream::Samples, NOW);
    let due = sender.poll_timeout().expect("a timer");
    sender.handle_timeout(due);
    assert_eq!(sender.poll_effect(), Some(send(0)));
}

#[test]
fn a_second_welcome_does_not_take_the_cursor_back() {
    let mut sender = live(line(0, 0, 9), 5);
    assert_eq!(sender.poll_effect(), Some(send(5)));
    sender.handle_welcome(&welcome(0), |cursor| Some(cursor.chain));
    assert_eq!(sender.poll_effect(), None);
    assert_eq!(sender.backlog(), 4);
}

#[test]
fn an_ack_for_a_twins_history_releases_nothing_and_ends_the_name() {
    let cursor = welcome(9).cursors[0];
    let twin = Digest([7; 32]);
    for (chain_here, expected) in [
        (Some(twin), Some(SenderEffect::Reincarnate(LIFE))),
        (None, None),
        (
            Some(cursor.chain),
            Some(SenderEffect::Release {
                incarnation: LIFE,
                stream: Stream::Samples,
                before: cursor.committed,
            }),
        ),
    ] {
        let mut sender = live(line(0, 0, 9), 0);
        assert_eq!(sender.poll_effect(), Some(send(0)));
        sender.handle_ack(cursor, cursor.committed, chain_here, NOW);
        assert_eq!(sender.poll_effect(), expected, "{chain_here:?}");
    }
}

fn hello(owner: Option<Owner>) -> Hello {
    Hello {
        gateway: GatewayId::new("gateway").expect("an id"),
        boot: BootId([1; 16]),
        owner,
        burned: Epoch(0),
        heads: Vec::new(),
        open_commands: 0,
        generation: 0,
        software: String::new(),
        at: NOW,
        utc: None,
        doubt: None,
    }
}

fn receiver(cursors: Vec<Cursor>) -> Receiver<NoChain> {
    let stored = StoredGateway { cursors, ..StoredGateway::default() };
    Receiver::resume(InstanceId::new("a").expect("an id"), NoChain, stored)
}

#[test]
fn a_hello_that_comes_twice_or_late_puts_no_identity_in_doubt() {
    let mut receiver = receiver(welcome(5).cursors);
    let head = Head {
        incarnation: LIFE,
        stream: Stream::Samples,
        first: Position(0),
        next: Position(5),
        chain: Digest([0; 32]),
    };
    let said = |at, next| Hello { at, heads: vec![Head { next, ..head }], ..hello(None) };
    receiver.handle_hello(said(Millis(9), Position(5)));
    receiver.handle_reserved(UtcMillis(0));
    for late in [said(Millis(9), Position(3)), said(Millis(8), Position(3))] {
        receiver.handle_hello(late);
        assert!(!receiver.is_contested());
    }
    receiver.handle_hello(said(Millis(10), Position(3)));
    assert!(receiver.is_contested());
}

#[test]
fn what_the_journal_refused_is_written_once_more_and_nothing_follows_before() {
    let command = command(false);
    let id = command.id.clone();
    let utc = Some(UtcMillis(0));
    let mut executor = Executor::default();
    executor.handle_command(command.clone(), None, utc);
    let persist = |state| Some(ExecutorEffect::Persist(Entry { command: command.clone(), state }));
    for state in [EntryState::Received, EntryState::Started] {
        assert_eq!(executor.poll_effect(), persist(state.clone()));
        executor.handle_refused(&id);
        assert_eq!((executor.poll_effect(), executor.is_refused()), (None, true));
        executor.handle_reopened();
        assert_eq!((executor.poll_effect(), executor.is_refused()), (persist(state), false));
        executor.handle_persisted(&id, utc);
    }
    assert_eq!(executor.poll_effect(), Some(ExecutorEffect::Execute(command)));
}

#[test]
fn a_range_across_the_cursor_is_answered_by_the_cursor() {
    let mut receiver = receiver(welcome(5).cursors);
    let (incarnation, stream) = (LIFE, Stream::Samples);
    let head = BatchHead {
        incarnation,
        stream,
        first: Position(3),
        next: Position(8),
        chain: Digest([0; 32]),
        leaf: None,
        catalogue: None,
    };
    receiver.handle_batch(head, true);
    let cursor = welcome(5).cursors[0];
    let ack = ReceiverEffect::Ack { cursor, releasable: Position(5) };
    assert_eq!(receiver.poll_effect(), Some(ack));
}

#[test]
fn an_instance_speaks_in_no_epoch_that_is_not_durable() {
    let mut receiver = receiver(Vec::new());
    receiver.handle_hello(hello(None));
    assert_eq!(receiver.epoch(), Epoch(0));
    receiver.handle_reserved(UtcMillis(0));
    assert_eq!(receiver.epoch(), Epoch(1));
}

fn command(retry_safe: bool) -> Command {
    let id = CommandId::new("c").expect("an id");
    let action = Action::Write {
        device: DeviceName::new("pump").expect("an id"),
        signal: SignalName::new("x").expect("an id"),
        value: Value::Bool(true),
        verify: false,
    };
    let not_after = UtcMillis(10);
    let by = "operator".to_owned();
    Command { id, action, not_after, retry_safe, dry_run: false, by }
}

#[test]
fn a_command_that_expires_in_its_second_run_may_have_run_in_its_first() {
    let command = command(true);
    let id = command.id.clone();
    let entry = Entry { command: command.clone(), state: EntryState::Started };
    let mut executor = Executor::resume(vec![entry], Some(UtcMillis(0)));
    assert_eq!(executor.poll_effect(), Some(ExecutorEffect::Execute(command.clone())));
    executor.handle_result(&id, Outcome::Expired);
    let state = EntryState::Closed(Outcome::Interrupted);
    let persist = ExecutorEffect::Persist(Entry { command, state });
    assert_eq!(executor.poll_effect(), Some(persist));
}
