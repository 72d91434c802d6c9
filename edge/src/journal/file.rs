//! The file behind the journal, and its rows.

use std::path::{Path, PathBuf};

use fieldgate_model::{CommandId, Doubt, DoubtCause, Epoch, InstanceId, Owner, UtcMillis};
use fieldgate_protocol::Fence;
use fieldgate_protocol::command::{Entry, EntryState};
use fieldgate_wire::{Answer, CommandMessage, JournalState};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{JournalError, Logged, Resumed};

/// Closed commands that are remembered although their time is over, so that an id sent again is
/// answered with what became of it: a gateway gets some a day.
const REMEMBERED: i64 = 10_000;
/// Commands that are remembered at most. One whose time is not over is never forgotten, since it
/// would run again: beyond this none is taken. 16 a minute for a week.
const REMEMBERED_MAX: i64 = 160_000;

pub(super) struct JournalFile {
    /// `None` after a failure: what an fsync has refused once may be lost although a second one
    /// succeeds, so that the file is closed and opened again by whoever asks next.
    db: Option<Connection>,
    path: PathBuf,
    fence: Fence,
}

impl JournalFile {
    pub(super) fn open(path: &Path, expected: bool) -> Result<(Self, Resumed), JournalError> {
        let failed = |source| JournalError::Database { path: path.to_owned(), source };
        let lost = expected && !path.exists();
        let db = Connection::open(path).map_err(failed)?;
        prepare(&db, lost).map_err(failed)?;
        let mut file = Self { db: Some(db), path: path.to_owned(), fence: Fence::default() };
        let doubt = file.load_fence()?;
        let open = file.open_entries()?;
        let fence = file.fence.clone();
        Ok((file, Resumed { fence, open, doubt }))
    }

    pub(super) fn save_fence(&mut self, fence: &Fence) -> Result<(), JournalError> {
        let owner = fence.owner();
        self.run(|db| {
            db.execute(
                "UPDATE fence SET instance = ?1, epoch = ?2, burned = ?3",
                params![
                    owner.map(|owner| owner.instance.as_str()),
                    owner.map_or(0, |owner| owner.epoch.0.cast_signed()),
                    fence.burned().0.cast_signed(),
                ],
            )
        })?;
        self.fence = fence.clone();
        Ok(())
    }

    pub(super) fn save_doubt(&mut self, doubt: Option<Doubt>) -> Result<(), JournalError> {
        let cause = doubt.map_or(0, |doubt| cause_code(doubt.cause));
        let since = doubt.and_then(|doubt| doubt.since).map(u64::cast_signed);
        self.run(|db| {
            db.execute("UPDATE fence SET withheld = ?1, since = ?2", params![cause, since])
        })?;
        Ok(())
    }

    pub(super) fn save_entry(
        &mut self,
        entry: &Entry,
        at: Option<UtcMillis>,
    ) -> Result<(), JournalError> {
        // The epoch in the stored message is that of its receipt, for the audit; the fence judged it.
        let owner = self.fence.owner().cloned().ok_or_else(|| JournalError::Row {
            path: self.path.clone(),
            what: "a command without an owner".to_owned(),
        })?;
        if entry.state == EntryState::Received {
            self.make_room()?;
        }
        let message = fieldgate_wire::encode_command(&CommandMessage {
            owner,
            command: entry.command.clone(),
        });
        let answer = fieldgate_wire::encode_answer(&Answer::Command {
            command: entry.command.id.clone(),
            state: journal_state(&entry.state),
        });
        let (received, started, closed) = match entry.state {
            EntryState::Received => (at, None, None),
            EntryState::Started => (None, at, None),
            EntryState::Closed(_) => (None, None, at),
        };
        self.run(|db| {
            db.execute(
                "INSERT INTO command (id, message, answer, reported, not_after, received_at,
                                      started_at, closed_at)
                 VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET
                     answer = excluded.answer,
                     started_at = coalesce(excluded.started_at, started_at),
                     closed_at = coalesce(excluded.closed_at, closed_at)",
                params![
                    entry.command.id.as_str(),
                    message,
                    answer,
                    entry.command.not_after.0,
                    received.map(|at| at.0),
                    started.map(|at| at.0),
                    closed.map(|at| at.0)
                ],
            )
        })?;
        Ok(())
    }

    /// An error if one more command cannot be remembered.
    fn make_room(&mut self) -> Result<(), JournalError> {
        let count: i64 =
            self.run(|db| db.query_row("SELECT count(*) FROM command", [], |row| row.get(0)))?;
        if count < REMEMBERED_MAX {
            return Ok(());
        }
        Err(JournalError::Full(usize::try_from(count).unwrap_or(usize::MAX)))
    }

    pub(super) fn reported(
        &mut self,
        id: &CommandId,
        now: Option<UtcMillis>,
    ) -> Result<(), JournalError> {
        let mark = |db: &Connection| {
            db.execute("UPDATE command SET reported = 1 WHERE id = ?1", [id.as_str()])?;
            // Without a time of day nothing is known to be over.
            db.execute(
                "DELETE FROM command WHERE reported = 1 AND not_after < ?2
                 AND sequence <= (SELECT max(sequence) FROM command) - ?1",
                params![REMEMBERED, now.map_or(i64::MIN, |now| now.0)],
            )
        };
        self.run(mark).map(drop)
    }

    pub(super) fn newest(&mut self, count: u32) -> Result<Vec<Logged>, JournalError> {
        self.logged("ORDER BY sequence DESC LIMIT ?1", count)
    }

    pub(super) fn find(&mut self, id: &CommandId) -> Result<Option<Logged>, JournalError> {
        Ok(self.logged("WHERE id = ?1", id.as_str())?.pop())
    }

    fn logged(
        &mut self,
        which: &str,
        parameter: impl rusqlite::ToSql,
    ) -> Result<Vec<Logged>, JournalError> {
        let rows = self.run(|db| {
            let mut statement = db.prepare(&format!(
                "SELECT message, answer, received_at, started_at, closed_at, reported
                 FROM command {which}"
            ))?;
            let row = |row: &Row<'_>| {
                let time = |index| row.get(index).map(|at: Option<i64>| at.map(UtcMillis));
                let times = (time(2)?, time(3)?, time(4)?);
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, times, row.get(5)?))
            };
            statement.query_map([parameter], row)?.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|(message, answer, (received_at, started_at, closed_at), reported)| {
                let message = self.message(&message)?;
                let state = self.entry_state(&answer)?;
                let CommandMessage { owner, command } = message;
                Ok(Logged { owner, command, state, received_at, started_at, closed_at, reported })
            })
            .collect()
    }

    fn message(&self, bytes: &[u8]) -> Result<CommandMessage, JournalError> {
        let message = fieldgate_wire::decode_command(bytes);
        message.map_err(|error| self.unreadable(error.to_string()))
    }

    pub(super) fn state(&mut self, id: &CommandId) -> Result<Option<EntryState>, JournalError> {
        let answer: Option<Vec<u8>> = self.run(|db| {
            db.query_row("SELECT answer FROM command WHERE id = ?1", [id.as_str()], |row| {
                row.get(0)
            })
            .optional()
        })?;
        answer.map(|answer| self.entry_state(&answer)).transpose()
    }

    fn open_entries(&mut self) -> Result<Vec<Entry>, JournalError> {
        let rows = self.run(|db| {
            let mut statement = db.prepare(
                "SELECT message, answer FROM command WHERE reported = 0 ORDER BY sequence",
            )?;
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|(message, answer)| {
                let command = self.message(&message)?.command;
                Ok(Entry { command, state: self.entry_state(&answer)? })
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

    fn load_fence(&mut self) -> Result<Option<Doubt>, JournalError> {
        let select = "SELECT instance, epoch, burned, withheld, since FROM fence";
        let (instance, epoch, burned, withheld, since): (Option<String>, _, i64, _, _) =
            self.run(|db| {
                db.query_row(select, [], |row| {
                    let epoch: i64 = row.get(1)?;
                    let (withheld, since): (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
                    Ok((row.get(0)?, epoch, row.get(2)?, withheld, since))
                })
            })?;
        let instance = instance
            .map(InstanceId::new)
            .transpose()
            .map_err(|error| self.unreadable(format!("the owner's id {error}")))?;
        let owner =
            instance.map(|instance| Owner { instance, epoch: Epoch(epoch.cast_unsigned()) });
        self.fence = Fence::resume(owner, Epoch(burned.cast_unsigned()));
        let cause = match withheld {
            0 => return Ok(None),
            1 => DoubtCause::JournalLost,
            2 => DoubtCause::Forked,
            other => return Err(self.unreadable(format!("the doubt {other}"))),
        };
        Ok(Some(Doubt { cause, since: since.map(i64::cast_unsigned) }))
    }

    /// Asks the file, opened again if it has failed before.
    fn run<T>(
        &mut self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let asked = match self.db.take() {
            Some(db) => Ok(db),
            // One that vanished meanwhile is a lost one.
            None => Connection::open(&self.path).and_then(|db| prepare(&db, true).map(|()| db)),
        };
        let asked = asked.and_then(|db| ask(&db).map(|answer| (db, answer)));
        let (db, answer) =
            asked.map_err(|source| JournalError::Database { path: self.path.clone(), source })?;
        self.db = Some(db);
        Ok(answer)
    }

    fn unreadable(&self, what: String) -> JournalError {
        JournalError::Row { path: self.path.clone(), what }
    }
}

/// The number that stands for it in the fence.
const fn cause_code(cause: DoubtCause) -> i64 {
    match cause {
        DoubtCause::JournalLost => 1,
        DoubtCause::Forked => 2,
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
    if version < 2 {
        let step = include_str!("schema-2.sql");
        db.execute_batch(&format!("BEGIN IMMEDIATE; {step} PRAGMA user_version = 2; COMMIT;"))?;
    }
    Ok(())
}
