//! The journal on a real disk, and the command task when the journal refuses for a while.

use std::path::{Path, PathBuf};

use fieldgate_edge::buffer::{Buffer, BufferOptions};
use fieldgate_edge::clock::{Clock, ClockStatus};
use fieldgate_edge::command::{self, CommandSetup, Targets};
use fieldgate_edge::journal::{Journal, JournalError};
use fieldgate_model::{
    Action, BootId, Catalogue, Command, CommandId, DeviceName, Epoch, GatewayId, InstanceId,
    Millis, Owner, SignalName, UtcMillis, Value,
};
use fieldgate_protocol::Fence;
use fieldgate_protocol::command::{Entry, EntryState};
use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the kernel has random bytes");
        let name = format!("fieldgate-journal-{name}-{:016x}", u64::from_ne_bytes(id));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a fresh folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

fn command(id: &str) -> Command {
    Command {
        id: CommandId::new(id).expect("an id"),
        action: Action::Write {
            device: DeviceName::new("pump").expect("an id"),
            signal: SignalName::new("speed").expect("an id"),
            value: Value::Unsigned(1),
            verify: false,
        },
        not_after: UtcMillis(i64::MAX / 2),
        retry_safe: false,
        dry_run: false,
        by: "operator".to_owned(),
    }
}

fn owned() -> Fence {
    let instance = InstanceId::new("a").expect("an id");
    Fence::resume(Some(Owner { instance, epoch: Epoch(1) }), Epoch(1))
}

async fn journal(folder: &Path) -> Journal {
    let (journal, _) = Journal::open(folder, false).expect("a fresh journal");
    journal.save_fence(owned()).await.expect("a fence");
    journal
}

/// Holds the file's only write lock: whoever writes is refused until it is dropped.
fn locked(folder: &Path) -> Connection {
    let db = Connection::open(folder.join("control.db")).expect("the journal's file");
    db.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    db
}

#[tokio::test]
async fn a_journal_that_has_refused_is_opened_again_and_knows_what_it_knew() {
    let folder = Folder::new("reopen");
    let journal = journal(&folder.0).await;
    let entry = |id: &str| Entry { command: command(id), state: EntryState::Received };
    journal.save_entry(entry("one"), None).await.expect("it is written");
    let lock = locked(&folder.0);
    let refused = journal.save_entry(entry("two"), None).await;
    assert!(matches!(refused, Err(JournalError::Database { .. })), "{refused:?}");
    drop(lock);
    journal.save_entry(entry("two"), None).await.expect("it is open again");
    for id in ["one", "two"] {
        let id = CommandId::new(id).expect("an id");
        let state = journal.state(id).await.expect("it can be read");
        assert_eq!(state, Some(EntryState::Received));
    }
}

#[tokio::test]
async fn a_command_that_the_journal_refused_ends_when_the_journal_is_back() {
    let folder = Folder::new("refused");
    let journal = journal(&folder.0).await;
    let clock = Clock;
    let (buffer, _) = Buffer::open(BufferOptions {
        folder: folder.0.clone(),
        max_bytes: 64 * 1024 * 1024,
        flush: Millis(1_000),
        seal_after: Millis(1_000),
        catalogue: Catalogue::default(),
        gateway: GatewayId::new("gateway-1").expect("an id"),
        boot: BootId([1; 16]),
        clock,
        time: watch::channel(ClockStatus::default()).1,
    })
    .expect("a fresh buffer");
    let (_offset, utc_offset) = watch::channel(Some(UtcMillis(0)));
    let setup = CommandSetup {
        journal: journal.clone(),
        open: Vec::new(),
        buffer,
        targets: Targets::new([].into(), [].into(), [].into()),
        utc_offset,
        doubted: watch::channel(false).1,
        clock,
    };
    let (commands, inbox) = mpsc::channel(1);
    let (answers, mut answered) = mpsc::channel(8);
    let lock = locked(&folder.0);
    let task = tokio::spawn(command::run(setup, inbox, answers));
    commands.send(command("late")).await.expect("the task runs");
    let id = command("late").id;
    // Taken twice, it is looked at once: what is refused is no answer.
    commands.send(command("late")).await.expect("the task runs");
    // While the file is locked it cannot even be opened again; what it does not tell is not there.
    assert!(!matches!(journal.state(id.clone()).await, Ok(Some(_))));
    assert!(answered.try_recv().is_err(), "nothing is answered before it is durable");
    drop(lock);
    let closed = async {
        loop {
            if let Ok(Some(EntryState::Closed(outcome))) = journal.state(id.clone()).await {
                return outcome;
            }
            tokio::task::yield_now().await;
        }
    };
    let within = std::time::Duration::from_secs(30);
    let outcome = tokio::time::timeout(within, closed).await.expect("it ends");
    // There is no such device, and that is an end too.
    assert_eq!(outcome.as_str(), "failed");
    drop(commands);
    task.await.expect("the task ends");
}
