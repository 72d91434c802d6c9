//! The file behind the journal, and its rows.

use std::path::{Path, PathBuf};

use fieldgate_model::{CommandId, Epoch, InstanceId, Owner};
use fieldgate_protocol::Fence;
use fieldgate_protocol::command::{Entry, EntryState};
use fieldgate_wire::{Answer, CommandMessage, JournalState};
use rusqlite::{Connection, OptionalExtension, params};

use super::{JournalError, Resumed};

/// Closed commands that are remembered, so that an id sent again is answered and not run: a
/// gateway gets some a day, and one older than seven days has expired anyhow.
const REMEMBERED_MAX: i64 = 10_000;

pub(super) struct JournalFile {
    db: Connection,
    path: PathBuf,
    fence: Fence,
}

impl JournalFile {
    pub(super) fn open(path: &Path, expected: bool) -> Result<(Self, Resumed), JournalError> {
        let failed = |source| JournalError::Database { path: path.to_owned(), source };
        let lost = expected && !path.exists();
        let db = Connection::open(path).map_err(failed)?;
        prepare(&db, lost).map_err(failed)?;
        let mut file = Self { db, path: path.to_owned(), fence: Fence::default() };
        let withheld = file.load_fence()?;
        let open = file.open_entries()?;
        let fence = file.fence.clone();
        Ok((file, Resumed { fence, open, withheld }))
    }

    pub(super) fn save_fence(&mut self, fence: &Fence) -> Result<(), JournalError> {
        let owner = fence.owner();
        self.db
            .execute(
                "UPDATE fence SET instance = ?1, epoch = ?2, burned = ?3",
                params![
                    owner.map(|owner| owner.instance.as_str()),
                    owner.map_or(0, |owner| owner.epoch.0.cast_signed()),
                    fence.burned().0.cast_signed(),
                ],
            )
            .map_err(|source| self.failed(source))?;
        self.fence = fence.clone();
        Ok(())
    }

    pub(super) fn save_entry(&mut self, entry: &Entry) -> Result<(), JournalError> {
        // The epoch in the stored message is that of its receipt, for the audit; the fence judged it.
        let owner = self.fence.owner().cloned().ok_or_else(|| JournalError::Row {
            path: self.path.clone(),
            what: "a command without an owner".to_owned(),
        })?;
        let message = fieldgate_wire::encode_command(&CommandMessage {
            owner,
            command: entry.command.clone(),
        });
        let answer = fieldgate_wire::encode_answer(&Answer::Command {
            command: entry.command.id.clone(),
            state: journal_state(&entry.state),
        });
        self.db
            .execute(
                "INSERT INTO command (id, message, answer, reported) VALUES (?1, ?2, ?3, 0)
                 ON CONFLICT (id) DO UPDATE SET answer = ?3",
                params![entry.command.id.as_str(), message, answer],
            )
            .map_err(|source| self.failed(source))?;
        Ok(())
    }

    pub(super) fn reported(&mut self, id: &CommandId) -> Result<(), JournalError> {
        let mark = || {
            self.db.execute("UPDATE command SET reported = 1 WHERE id = ?1", [id.as_str()])?;
            self.db.execute(
                "DELETE FROM command WHERE reported = 1
                 AND sequence <= (SELECT max(sequence) FROM command) - ?1",
                [REMEMBERED_MAX],
            )
        };
        mark().map(drop).map_err(|source| self.failed(source))
    }

    pub(super) fn state(&self, id: &CommandId) -> Result<Option<EntryState>, JournalError> {
        let answer: Option<Vec<u8>> = self
            .db
            .query_row("SELECT answer FROM command WHERE id = ?1", [id.as_str()], |row| row.get(0))
            .optional()
            .map_err(|source| self.failed(source))?;
        answer.map(|answer| self.entry_state(&answer)).transpose()
    }

    fn open_entries(&self) -> Result<Vec<Entry>, JournalError> {
        let rows = || {
            let mut statement = self.db.prepare(
                "SELECT message, answer FROM command WHERE reported = 0 ORDER BY sequence",
            )?;
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = rows().map_err(|source| self.failed(source))?;
        rows.into_iter()
            .map(|(message, answer)| {
                let message = fieldgate_wire::decode_command(&message)
                    .map_err(|error| self.unreadable(error.to_string()))?;
                Ok(Entry { command: message.command, state: self.entry_state(&answer)? })
            })
            .collect()
    }

    fn entry_state(&self, answer: &[u8]) -> Result<EntryState, JournalError> {
        match fieldgate_wire::decode_answer(answer) {
            Ok(Answer::Command { state, .. }) => Ok(match state {
                JournalState::Received => EntryState::Received,
                JournalState::Started => EntryState::Started,
                JournalState::Closed(outcome) => EntryState::Closed(outcome),
            }),
            Ok(Answer::Stale { .. }) => Err(self.unreadable("a stale answer".to_owned())),
            Err(error) => Err(self.unreadable(error.to_string())),
        }
    }

    fn load_fence(&mut self) -> Result<bool, JournalError> {
        let (instance, epoch, burned, withheld): (Option<String>, i64, i64, bool) = self
            .db
            .query_row("SELECT instance, epoch, burned, withheld FROM fence", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .map_err(|source| self.failed(source))?;
        let instance = instance
            .map(InstanceId::new)
            .transpose()
            .map_err(|error| self.unreadable(format!("the owner's id {error}")))?;
        let owner =
            instance.map(|instance| Owner { instance, epoch: Epoch(epoch.cast_unsigned()) });
        self.fence = Fence::resume(owner, Epoch(burned.cast_unsigned()));
        Ok(withheld)
    }

    fn failed(&self, source: rusqlite::Error) -> JournalError {
        JournalError::Database { path: self.path.clone(), source }
    }

    fn unreadable(&self, what: String) -> JournalError {
        JournalError::Row { path: self.path.clone(), what }
    }
}

/// How the journal's states are told to the owner.
pub(crate) fn journal_state(state: &EntryState) -> JournalState {
    match state {
        EntryState::Received => JournalState::Received,
        EntryState::Started => JournalState::Started,
        EntryState::Closed(outcome) => JournalState::Closed(outcome.clone()),
    }
}

fn prepare(db: &Connection, lost: bool) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        db.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} INSERT INTO fence VALUES (1, NULL, 0, 0, {}); \
             PRAGMA user_version = 1; COMMIT;",
            include_str!("schema.sql"),
            i32::from(lost)
        ))?;
    }
    Ok(())
}
