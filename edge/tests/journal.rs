//! The journal on a real disk: what it remembers of commands, for how long, and of a doubt.

use std::path::PathBuf;

use fieldgate_edge::journal::Journal;
use fieldgate_model::{
    Action, Command, CommandId, DeviceName, Doubt, DoubtCause, Epoch, InstanceId, Outcome, Owner,
    SignalName, UtcMillis, Value,
};
use fieldgate_protocol::Fence;
use fieldgate_protocol::command::{Entry, EntryState};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the kernel has random bytes");
        let name = format!("fieldgate-journal-{:016x}", u64::from_ne_bytes(id));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a fresh folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn entry(id: &str, state: EntryState) -> Entry {
    let command = Command {
        id: CommandId::new(id).expect("an id"),
        action: Action::Write {
            device: DeviceName::new("pump").expect("an id"),
            signal: SignalName::new("speed").expect("an id"),
            value: Value::Float64(42.5),
            verify: true,
        },
        not_after: UtcMillis(1_000),
        retry_safe: false,
        dry_run: false,
        by: "anna".to_owned(),
    };
    Entry { command, state }
}

async fn opened(folder: &Folder) -> (Journal, Option<Doubt>) {
    let (journal, resumed) = Journal::open(&folder.0, false).expect("the journal opens");
    let instance = InstanceId::new("cloud").expect("an id");
    let owner = Owner { instance, epoch: Epoch(3) };
    let fence = Fence::resume(Some(owner), Epoch(3));
    journal.save_fence(fence).await.expect("saved");
    (journal, resumed.doubt)
}

#[tokio::test]
async fn each_step_of_a_command_is_remembered_with_its_time_and_its_author() {
    let folder = Folder::new();
    let (journal, _) = opened(&folder).await;
    let done = EntryState::Closed(Outcome::Done { read_back: None });
    for (state, at) in [(EntryState::Received, 10), (EntryState::Started, 20), (done.clone(), 30)] {
        journal.save_entry(entry("c1", state), Some(UtcMillis(at))).await.expect("saved");
    }
    let received = EntryState::Received;
    journal.save_entry(entry("c2", received), Some(UtcMillis(40))).await.expect("saved");
    let newest = journal.newest(10).await.expect("read");
    let ids: Vec<&str> = newest.iter().map(|logged| logged.command.id.as_str()).collect();
    assert_eq!(ids, ["c2", "c1"]);
    let id = CommandId::new("c1").expect("an id");
    let logged = journal.find(id).await.expect("read").expect("it is remembered");
    assert_eq!(logged.received_at, Some(UtcMillis(10)));
    assert_eq!(logged.started_at, Some(UtcMillis(20)));
    assert_eq!(logged.closed_at, Some(UtcMillis(30)));
    assert_eq!((logged.command.by.as_str(), logged.owner.epoch), ("anna", Epoch(3)));
    assert_eq!(logged.state, done);
}

#[tokio::test]
async fn an_id_is_forgotten_only_when_its_command_can_no_longer_start() {
    let folder = Folder::new();
    let (journal, _) = opened(&folder).await;
    let closed = EntryState::Closed(Outcome::Expired);
    journal.save_entry(entry("first", closed.clone()), None).await.expect("saved");
    drop(journal);
    // Ten thousand more, past the journal's own way, which would take a minute.
    let db = rusqlite::Connection::open(folder.0.join("control.db")).expect("the file opens");
    db.execute_batch(
        "INSERT INTO command (id, message, answer, reported, not_after)
         SELECT 'c' || value, zeroblob(0), zeroblob(0), 1, 1000
         FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 10000)
               SELECT value FROM n)",
    )
    .expect("filled");
    drop(db);
    let (journal, _) = opened(&folder).await;
    let id = || CommandId::new("first").expect("an id");
    for (now, is_known) in [(None, true), (Some(UtcMillis(1_000)), true)] {
        journal.reported(id(), now).await.expect("marked");
        assert_eq!(journal.state(id()).await.expect("read").is_some(), is_known, "{now:?}");
    }
    journal.reported(id(), Some(UtcMillis(1_001))).await.expect("marked");
    assert_eq!(journal.state(id()).await.expect("read"), None);
}

#[tokio::test]
async fn a_doubt_is_there_after_a_restart_until_it_is_settled() {
    let folder = Folder::new();
    let (journal, doubt) = opened(&folder).await;
    assert_eq!(doubt, None);
    let forked = Some(Doubt { cause: DoubtCause::Forked, since: Some(7) });
    journal.save_doubt(forked).await.expect("saved");
    let (journal, doubt) = opened(&folder).await;
    assert_eq!(doubt, forked);
    journal.save_doubt(None).await.expect("saved");
    assert_eq!(opened(&folder).await.1, None);
}

#[tokio::test]
async fn a_journal_that_was_lost_is_a_doubt_of_unknown_age() {
    let folder = Folder::new();
    let (_, resumed) = Journal::open(&folder.0, true).expect("the journal opens");
    let lost = Doubt { cause: DoubtCause::JournalLost, since: None };
    assert_eq!(resumed.doubt, Some(lost));
}
