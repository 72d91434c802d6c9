//! The conformance suite: every store passes it, each test on an empty one.

use std::os::unix::fs::PermissionsExt as _;

use fieldgate_cloud::store::{
    AlarmChange, BatchState, Closing, CommandState, Commit, NewCommand, NewConsoleLink, NewTenant,
    NewToken, Reservation, Scopes, SqliteStore, Store, StoreError,
};
use fieldgate_model::{
    Action, AlarmState, BootId, CatalogueId, Command, CommandId, DeviceName, Digest, Epoch,
    FailureKind, IncarnationId, Outcome, Position, SignalName, Stream, UtcMillis, Value,
};

use super::support::{BEGIN, TempDir, alarm, gateway, populated, tenant};

/// Runs a test on every implementation; the folder lets it look past the trait and open again.
pub(super) fn each_store(test: impl Fn(&mut dyn Store, &TempDir)) {
    let folder = TempDir::new();
    test(&mut populated(&folder.database()), &folder);
}

pub(super) fn batch(first: u64, next: u64) -> Commit {
    Commit {
        tenant: tenant("acme"),
        gateway: gateway("g1"),
        incarnation: IncarnationId([1; 16]),
        stream: Stream::Samples,
        first: Position(first),
        next: Position(next),
        chain: Digest([u8::try_from(next).expect("a small position"); 32]),
        catalogue: Some(CatalogueId([9; 32])),
        boot: BootId([1; 16]),
        mono: None,
        anchors: Vec::new(),
        span: Some((BEGIN, UtcMillis(BEGIN.0 + 1))),
        state: BatchState::Readable,
        samples: next - first,
        events: 0,
        alarms: Vec::new(),
        closings: Vec::new(),
        steps: Vec::new(),
        local_writes: Vec::new(),
        body: vec![1, 2, 3],
    }
}

pub(super) fn command(id: &str, key: Option<&str>) -> NewCommand {
    NewCommand {
        command: Command {
            id: CommandId::new(id).expect("an id"),
            action: Action::Write {
                device: DeviceName::new("pump").expect("an id"),
                signal: SignalName::new("speed").expect("an id"),
                value: Value::Float64(42.5),
                verify: true,
            },
            not_after: UtcMillis(BEGIN.0 + 60_000),
            retry_safe: false,
            dry_run: false,
            by: "token:1".into(),
        },
        gateway: gateway("g1"),
        idempotency_key: key.map(str::to_owned),
    }
}

pub(super) fn id(text: &str) -> CommandId {
    CommandId::new(text).expect("an id")
}

pub(super) fn state_of(folder: &TempDir, command: &str) -> String {
    let connection = rusqlite::Connection::open(folder.database()).expect("the database opens");
    let sql = "SELECT state FROM command WHERE id = ?1";
    connection.query_row(sql, [command], |row| row.get(0)).expect("the command is there")
}

#[test]
fn a_batch_moves_its_cursor_and_a_copy_of_it_changes_nothing() {
    each_store(|store, folder| {
        store.commit(&[batch(0, 3), batch(3, 5)], BEGIN).expect("two in a row");
        store.commit(&[batch(0, 3), batch(3, 5)], BEGIN).expect("copies are harmless");
        let state = store.gateway(&gateway("g1")).expect("read").expect("known");
        assert_eq!(state.cursors.len(), 1);
        assert_eq!(state.cursors[0].committed, Position(5));
        assert_eq!(state.cursors[0].chain, Digest([5; 32]));
        assert_eq!(folder.number("SELECT count(*) FROM batch"), 2);
        assert_eq!(folder.number("SELECT samples FROM ledger"), 5);
        assert_eq!(folder.number("SELECT bytes FROM ledger"), 6);
        assert_eq!(folder.number("SELECT day FROM ledger"), 20_454);
    });
}

#[test]
fn a_batch_that_does_not_follow_takes_its_whole_group_with_it() {
    for wrong in [batch(4, 6), batch(2, 6), batch(3, 3)] {
        each_store(|store, folder| {
            store.commit(&[batch(0, 3)], BEGIN).expect("the first");
            let group = [batch(3, 4), wrong.clone()];
            // After 3..4 the cursor is at 4, so 4..6 would be right there: move it away.
            let group =
                if wrong.first == Position(4) { [batch(3, 5), wrong.clone()] } else { group };
            let result = store.commit(&group, BEGIN);
            assert!(matches!(result, Err(StoreError::OutOfOrder { .. })), "{result:?}");
            assert_eq!(folder.number("SELECT count(*) FROM batch"), 1);
            assert_eq!(folder.number("SELECT committed FROM cursor"), 3);
        });
    }
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let folder = TempDir::new();
    populated(&folder.database()).commit(&[batch(0, 3)], BEGIN).expect("committed");
    let state = populated(&folder.database()).gateway(&gateway("g1")).expect("read");
    assert_eq!(state.map(|state| state.cursors[0].committed), Some(Position(3)));
}

#[test]
fn an_epoch_only_grows() {
    each_store(|store, _| {
        let reservation = |epoch| Reservation {
            gateway: gateway("g1"),
            epoch: Epoch(epoch),
            boot: BootId([2; 16]),
            contested: false,
            doubt: None,
            readopted: 0,
            software: "fieldgate 0.1.0".into(),
            generation: 1,
        };
        store.reserve(&reservation(5), BEGIN).expect("reserved");
        store.reserve(&reservation(3), BEGIN).expect("an older one is harmless");
        let state = store.gateway(&gateway("g1")).expect("read").expect("known");
        assert_eq!(state.epoch, Epoch(5));
        assert_eq!(state.boot, Some(BootId([2; 16])));
        let unknown = Reservation { gateway: gateway("nobody"), ..reservation(1) };
        assert!(matches!(store.reserve(&unknown, BEGIN), Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn alarms_are_one_row_an_occurrence_and_never_go_back() {
    each_store(|store, folder| {
        let change = |occurrence, transition, state, at| AlarmChange {
            transition: alarm(occurrence, transition, state),
            at: Some(UtcMillis(at)),
        };
        let events = |first: u64, alarms: Vec<AlarmChange>| Commit {
            stream: Stream::Events,
            alarms,
            ..batch(first, first + 1)
        };
        let raised = change(1, 1, AlarmState::Active, 100);
        let returned = change(1, 2, AlarmState::Normal, 200);
        store.commit(&[events(0, vec![raised.clone()])], BEGIN).expect("raised");
        assert_eq!(folder.number("SELECT count(*) FROM alarm WHERE state = 'active'"), 1);
        store.commit(&[events(1, vec![returned])], BEGIN).expect("returned");
        store.commit(&[events(2, vec![raised])], BEGIN).expect("an old transition");
        assert_eq!(folder.number("SELECT count(*) FROM alarm"), 1);
        assert_eq!(folder.number("SELECT count(*) FROM alarm WHERE state = 'normal'"), 1);
        assert_eq!(folder.number("SELECT raised_at FROM alarm"), 100);
        assert_eq!(folder.number("SELECT returned_at FROM alarm"), 200);
        let again = change(2, 3, AlarmState::Active, 300);
        store.commit(&[events(3, vec![again])], BEGIN).expect("raised again");
        assert_eq!(folder.number("SELECT count(*) FROM alarm"), 2);
    });
}

#[test]
fn a_command_goes_through_its_states_and_its_first_outcome_wins() {
    each_store(|store, folder| {
        store.submit_command(&tenant("acme"), &command("c1", None), BEGIN).expect("accepted");
        assert!(store.mark_sent(&id("c1"), BEGIN).expect("sent"));
        assert!(store.mark_sent(&id("c1"), BEGIN).expect("may go again"));
        assert!(store.mark_unconfirmed(&id("c1"), BEGIN).expect("silent"));
        let open = store.open_commands(&gateway("g1")).expect("read");
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].state, CommandState::Unconfirmed);
        assert_eq!(open[0].command, command("c1", None).command);
        let closing = |outcome| Closing { command: id("c1"), outcome, at: None };
        let done = closing(Outcome::Done { read_back: Some(Value::Float64(42.5)) });
        let failed =
            closing(Outcome::Failed { kind: FailureKind::NoAnswer, reason: "no answer".into() });
        let foreign = store.close_command(&gateway("g2"), &done, BEGIN).expect("asked");
        assert!(!foreign, "another gateway closes nothing");
        assert!(store.close_command(&gateway("g1"), &done, BEGIN).expect("closed"));
        assert!(!store.close_command(&gateway("g1"), &failed, BEGIN).expect("asked"));
        assert!(!store.mark_sent(&id("c1"), BEGIN).expect("asked"), "closed stays closed");
        assert_eq!(state_of(folder, "c1"), "done");
        assert_eq!(store.gateways_with_open_commands().expect("read"), []);
    });
}

#[test]
fn a_command_can_be_withdrawn_until_it_is_sent() {
    each_store(|store, folder| {
        let acme = tenant("acme");
        for name in ["c1", "c2"] {
            store.submit_command(&acme, &command(name, None), BEGIN).expect("accepted");
        }
        store.cancel_command(&acme, &id("c1"), "token:1", BEGIN).expect("withdrawn");
        store.cancel_command(&acme, &id("c1"), "token:1", BEGIN).expect("twice is harmless");
        assert!(!store.mark_sent(&id("c1"), BEGIN).expect("asked"));
        assert!(store.mark_sent(&id("c2"), BEGIN).expect("sent"));
        let late = store.cancel_command(&acme, &id("c2"), "token:1", BEGIN);
        assert!(matches!(late, Err(StoreError::State { state: "sent", .. })), "{late:?}");
        let other = store.cancel_command(&tenant("other"), &id("c2"), "token:9", BEGIN);
        assert!(matches!(other, Err(StoreError::NotFound { .. })), "{other:?}");
        assert_eq!(state_of(folder, "c1"), "cancelled");
    });
}

#[test]
fn an_idempotency_key_gives_the_same_command_or_refuses() {
    each_store(|store, _| {
        let acme = tenant("acme");
        let first = store.submit_command(&acme, &command("c1", Some("k")), BEGIN);
        assert!(first.is_ok_and(|submitted| !submitted.replayed));
        let again = store.submit_command(&acme, &command("c2", Some("k")), BEGIN).expect("same");
        assert!(again.replayed);
        assert_eq!(again.id, id("c1"));
        let mut other = command("c3", Some("k"));
        other.command.dry_run = true;
        let result = store.submit_command(&acme, &other, BEGIN);
        assert!(matches!(result, Err(StoreError::KeyReused(_))), "{result:?}");
        let foreign = store.submit_command(&tenant("other"), &command("c4", None), BEGIN);
        assert!(matches!(foreign, Err(StoreError::NotFound { what: "gateway", .. })));
    });
}

#[test]
fn what_is_taken_or_missing_is_said() {
    each_store(|store, _| {
        let acme = NewTenant { id: tenant("acme"), name: "again".into(), parent: None };
        let taken = store.add_tenant(&acme, "test", BEGIN);
        assert!(matches!(taken, Err(StoreError::Exists { what: "tenant", .. })), "{taken:?}");
        let orphan = NewTenant { id: tenant("x"), name: "x".into(), parent: Some(tenant("no")) };
        let orphan = store.add_tenant(&orphan, "test", BEGIN);
        assert!(matches!(orphan, Err(StoreError::NotFound { .. })), "{orphan:?}");
        let (g9, hash) = (gateway("g9"), [0; 32]);
        let label = store.add_gateway(&tenant("acme"), &g9, "g1", &hash, "test", BEGIN);
        assert!(matches!(label, Err(StoreError::Exists { what: "gateway", .. })), "{label:?}");
        let nobody = store.add_gateway(&tenant("no"), &g9, "g9", &hash, "test", BEGIN);
        assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");
    });
}

#[test]
fn tokens_are_revoked_by_their_tenant_alone_and_every_change_is_audited() {
    each_store(|store, folder| {
        let token = NewToken {
            id: "t1".into(),
            tenant: tenant("acme"),
            name: "dashboard".into(),
            hash: [3; 32],
            scopes: Scopes::READ.union(Scopes::COMMAND),
            expires_at: None,
        };
        store.add_token(&token, "test", BEGIN).expect("added");
        let foreign = store.revoke_token(&tenant("management"), "t1", "test", BEGIN);
        assert!(matches!(foreign, Err(StoreError::NotFound { .. })), "{foreign:?}");
        let before = folder.number("SELECT count(*) FROM audit");
        store.revoke_token(&tenant("acme"), "t1", "test", BEGIN).expect("revoked");
        store.revoke_token(&tenant("acme"), "t1", "test", BEGIN).expect("twice is harmless");
        assert_eq!(folder.number("SELECT count(*) FROM audit"), before + 1);
        let tokens = store.tokens(Some(&tenant("acme"))).expect("read");
        assert_eq!(tokens[0].revoked_at, Some(BEGIN));
        assert_eq!(tokens[0].scopes.to_string(), "read command");
    });
}

#[test]
fn a_console_link_opens_once_and_in_time() {
    each_store(|store, _| {
        let link = |hash: u8, expires_at| NewConsoleLink {
            hash: [hash; 32],
            tenant: tenant("acme"),
            scopes: Scopes::READ,
            expires_at: UtcMillis(expires_at),
        };
        store.add_console_link(&link(1, BEGIN.0 + 10), "test", BEGIN).expect("added");
        store.add_console_link(&link(2, BEGIN.0 + 10), "test", BEGIN).expect("added");
        let mut open = |hash: u8, at| {
            let (session, until) = ([hash + 100; 32], UtcMillis(at + 1000));
            store.use_console_link(&[hash; 32], &session, until, UtcMillis(at)).expect("asked")
        };
        assert_eq!(open(1, BEGIN.0), Some((tenant("acme"), Scopes::READ)));
        assert_eq!(open(1, BEGIN.0), None, "used");
        assert_eq!(open(2, BEGIN.0 + 10), None, "too old");
        assert_eq!(open(9, BEGIN.0), None, "unknown");
    });
}

#[test]
fn the_file_is_private_and_a_later_schema_is_refused() {
    let folder = TempDir::new();
    drop(populated(&folder.database()));
    let mode = std::fs::metadata(folder.database()).expect("the file is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_eq!(folder.number("SELECT count(*) FROM tenant WHERE id = 'management'"), 1);
    let connection = rusqlite::Connection::open(folder.database()).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("a later program was here");
    let refused = SqliteStore::open(&folder.database()).err();
    assert!(matches!(refused, Some(StoreError::TooNew { found: 99, .. })), "{refused:?}");
}
