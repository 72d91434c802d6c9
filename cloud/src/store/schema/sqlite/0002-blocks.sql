-- Old batches of samples become blocks: columns a signal, with an index inside (src/store/block/).
-- A block stands for what it has swallowed: the same positions, and each batch's end and leaf.
-- `chain` is the stream's after it. `from_at`/`to_at` as in `batch`; `offsets` says how far UTC is
-- from the gateway's monotonic time, batch by batch, beside the body, as a better anchor moves it.
CREATE TABLE block (
    id          INTEGER PRIMARY KEY,
    tenant      TEXT NOT NULL,
    gateway     TEXT NOT NULL REFERENCES gateway (id),
    incarnation BLOB NOT NULL,
    first       INTEGER NOT NULL,
    next        INTEGER NOT NULL,
    chain       BLOB NOT NULL,
    catalogue   BLOB NOT NULL,
    boot        BLOB NOT NULL,
    from_at     INTEGER,
    to_at       INTEGER,
    offsets     BLOB,
    body        BLOB NOT NULL,
    UNIQUE (gateway, incarnation, first)
) STRICT;

-- In the order of their start. What spans more than an hour (a batch) or a day (a block) stands in
-- a list of its own as well: so what overlaps a moment began not long before it, or is in the list.
CREATE INDEX block_by_start ON block (gateway, from_at, to_at);
CREATE INDEX block_long ON block (gateway, to_at) WHERE to_at - from_at > 86400000;
DROP INDEX batch_by_time;
CREATE INDEX batch_by_start ON batch (gateway, stream, from_at, to_at);
CREATE INDEX batch_long ON batch (gateway, stream, to_at) WHERE to_at - from_at > 3600000;

-- Samples below `blocked` are in blocks, or were looked at and stay as they are; `blocked_at` is
-- when that last moved.
ALTER TABLE cursor ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN blocked_at INTEGER NOT NULL DEFAULT 0;

-- What a feed to another instance still needs batch by batch: nothing at or beyond `position` is
-- put into blocks or deleted.
CREATE TABLE hold (
    gateway     TEXT NOT NULL REFERENCES gateway (id),
    incarnation BLOB NOT NULL,
    stream      INTEGER NOT NULL,
    holder      TEXT NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (gateway, incarnation, stream, holder)
) STRICT, WITHOUT ROWID;

-- A signal's stable name under a number, for the rows that are many.
CREATE TABLE series (
    id      INTEGER PRIMARY KEY,
    tenant  TEXT NOT NULL,
    gateway TEXT NOT NULL REFERENCES gateway (id),
    device  TEXT NOT NULL,
    signal  TEXT NOT NULL,
    UNIQUE (gateway, device, signal)
) STRICT;

-- One row a signal and hour (hours since 1970, UTC), in engineering units; NULL where no sample has
-- a number. `bad` counts the others. `minutes` holds the same for each minute, packed.
CREATE TABLE rollup (
    series  INTEGER NOT NULL REFERENCES series (id),
    hour    INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    bad     INTEGER NOT NULL,
    min     REAL,
    max     REAL,
    sum     REAL NOT NULL,
    first   REAL,
    last    REAL,
    minutes BLOB NOT NULL,
    PRIMARY KEY (series, hour)
) STRICT, WITHOUT ROWID;

-- Hours whose rows are not what the samples say, written in the transaction that made it so: there
-- samples are read and not rows. `marks` counts, so that who works it off sees that more has come.
CREATE TABLE rollup_dirty (
    gateway   TEXT NOT NULL REFERENCES gateway (id),
    from_hour INTEGER NOT NULL,
    to_hour   INTEGER NOT NULL,
    marks     INTEGER NOT NULL,
    marked_at INTEGER NOT NULL,
    PRIMARY KEY (gateway, from_hour, to_hour)
) STRICT, WITHOUT ROWID;

INSERT INTO rollup_dirty (gateway, from_hour, to_hour, marks, marked_at)
SELECT gateway, min(from_at) / 3600000 - 1, max(to_at) / 3600000 + 1, 1, 0
FROM batch WHERE stream = 2 AND state = 0 AND from_at IS NOT NULL GROUP BY gateway;

-- Time of the newest committed sample, so that nobody has to search for it.
ALTER TABLE gateway ADD COLUMN data_until INTEGER;
UPDATE gateway SET data_until =
    (SELECT max(to_at) FROM batch WHERE batch.gateway = gateway.id AND stream = 2);
