-- `doubt`: why a contested gateway is (twin, forked, journal_lost). `readopted`: how often somebody
-- has said that it is the one it claims to be. A decommissioned gateway never connects again.
ALTER TABLE gateway ADD COLUMN doubt TEXT;
ALTER TABLE gateway ADD COLUMN readopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gateway ADD COLUMN decommissioned_at INTEGER;

-- The steps of a command between its publication and its end, as they become known.
ALTER TABLE command ADD COLUMN received_at INTEGER;
ALTER TABLE command ADD COLUMN started_at INTEGER;
ALTER TABLE command ADD COLUMN unconfirmed_at INTEGER;

-- Occurrences are counted by the life of a buffer that counts them: one that has lost its counters
-- begins at 1 again, and must not hide behind what it said before.
CREATE TABLE alarm_by_life (
    id          INTEGER PRIMARY KEY,
    tenant      TEXT NOT NULL,
    gateway     TEXT NOT NULL REFERENCES gateway (id),
    incarnation BLOB NOT NULL,
    device      TEXT NOT NULL,
    alarm       TEXT NOT NULL,
    occurrence  INTEGER NOT NULL,
    transition  INTEGER NOT NULL,
    state       TEXT NOT NULL,
    severity    TEXT NOT NULL,
    signal      TEXT NOT NULL,
    value       REAL NOT NULL,
    limit_value REAL NOT NULL,
    message     TEXT NOT NULL,
    raised_at   INTEGER,
    returned_at INTEGER,
    UNIQUE (gateway, device, alarm, incarnation, occurrence)
) STRICT;

INSERT INTO alarm_by_life (id, tenant, gateway, incarnation, device, alarm, occurrence, transition,
                           state, severity, signal, value, limit_value, message, raised_at,
                           returned_at)
SELECT id, tenant, gateway, zeroblob(16), device, alarm, occurrence, transition, state, severity,
       signal, value, limit_value, message, raised_at, returned_at
FROM alarm;

DROP TABLE alarm;
ALTER TABLE alarm_by_life RENAME TO alarm;
