-- buffer.db: what the gateway has taken in and the cloud may not have yet. Times are monotonic
-- milliseconds of the boot named beside them; ids and digests are raw bytes.

-- Every life of this buffer, oldest first. Only the newest one is written to.
CREATE TABLE incarnation (
    ordinal INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    gateway TEXT NOT NULL
) STRICT;

-- One row a stream. Below `first` nothing is held; below `released` everything may be evicted;
-- below `stored` everything is sealed. The chains stand at `first` and `stored`. Of what gave way
-- before it was released, `lost` counts the records whose gap the cloud may not know, `lost_from`
-- and `lost_to` are their times, `lost_reason` why.
CREATE TABLE line (
    incarnation  INTEGER NOT NULL REFERENCES incarnation (ordinal),
    stream       INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    first_chain  BLOB NOT NULL,
    released     INTEGER NOT NULL,
    stored       INTEGER NOT NULL,
    stored_chain BLOB NOT NULL,
    lost         INTEGER NOT NULL DEFAULT 0,
    lost_from    INTEGER,
    lost_to      INTEGER,
    PRIMARY KEY (incarnation, stream)
) STRICT, WITHOUT ROWID;

-- A sealed batch exactly as it will be sent. `sequence` is the order of sealing, which is the
-- order of eviction.
CREATE TABLE batch (
    sequence    INTEGER PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    stream      INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    next        INTEGER NOT NULL,
    chain       BLOB NOT NULL,
    from_at     INTEGER NOT NULL,
    to_at       INTEGER NOT NULL,
    body        BLOB NOT NULL,
    UNIQUE (incarnation, stream, first)
) STRICT;

CREATE INDEX batch_by_end ON batch (incarnation, stream, next);

-- The durable tail as it was before there was a ring: records that have no position yet.
CREATE TABLE fragment (
    sequence INTEGER PRIMARY KEY,
    body     BLOB NOT NULL
) STRICT;

CREATE TABLE catalogue (
    id   BLOB PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What an alarm must know after a restart.
CREATE TABLE alarm (
    device     TEXT NOT NULL,
    alarm      TEXT NOT NULL,
    active     INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    transition INTEGER NOT NULL,
    PRIMARY KEY (device, alarm)
) STRICT, WITHOUT ROWID;

-- How the last run ended and how far it had come.
CREATE TABLE run (
    only         INTEGER PRIMARY KEY CHECK (only = 1),
    boot         BLOB NOT NULL,
    clean        INTEGER NOT NULL,
    last_durable INTEGER NOT NULL
) STRICT;
