-- What gateways said of the time of day, boot by boot: UTC of everything is derived from these.
-- `at` is monotonic time; `source` 0 is the system clock of the gateway, 1 the cloud.
CREATE TABLE anchor (
    gateway TEXT NOT NULL REFERENCES gateway (id),
    boot    BLOB NOT NULL,
    at      INTEGER NOT NULL,
    source  INTEGER NOT NULL,
    utc     INTEGER NOT NULL,
    error   INTEGER NOT NULL,
    PRIMARY KEY (gateway, boot, at, source)
) STRICT, WITHOUT ROWID;

-- Boots whose labels are to be written anew, from and to a monotonic time, and how far that is: up
-- to a batch (its time and sequence), then up to a block. `marks` counts, so that who works it off
-- sees that more has come.
CREATE TABLE restamp (
    gateway  TEXT NOT NULL REFERENCES gateway (id),
    boot     BLOB NOT NULL,
    from_at  INTEGER NOT NULL,
    to_at    INTEGER NOT NULL,
    marks    INTEGER NOT NULL,
    batch_at INTEGER NOT NULL DEFAULT -1,
    batch    INTEGER NOT NULL DEFAULT -1,
    block    INTEGER,
    PRIMARY KEY (gateway, boot)
) STRICT, WITHOUT ROWID;

-- The boot of a batch and the monotonic times of its first and last record: its place in UTC is
-- derived from them. NULL in batches that were stored before this.
ALTER TABLE batch ADD COLUMN boot BLOB;
ALTER TABLE batch ADD COLUMN from_mono INTEGER;
ALTER TABLE batch ADD COLUMN to_mono INTEGER;
CREATE INDEX batch_by_boot ON batch (gateway, boot, from_mono) WHERE from_mono IS NOT NULL;
CREATE INDEX block_by_boot ON block (gateway, boot, id);
