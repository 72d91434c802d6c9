-- The first schema. Times are UTC milliseconds unless a name says otherwise; ids and digests are
-- raw bytes; every row that belongs to a tenant names it, so that a query can never forget it.

CREATE TABLE tenant (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    parent       TEXT REFERENCES tenant (id),
    created_at   INTEGER NOT NULL,
    suspended_at INTEGER
) STRICT;

-- The root of the tree. Nobody can log in as it until somebody with the data folder makes a token.
INSERT INTO tenant (id, name, created_at)
VALUES ('management', 'Management', CAST(unixepoch('subsec') * 1000 AS INTEGER));

-- Only the hash of a token is kept. `scopes` is a space-separated list.
CREATE TABLE token (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL REFERENCES tenant (id),
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- One-time console links and the sessions they turn into.
CREATE TABLE console_link (
    hash       BLOB PRIMARY KEY,
    tenant     TEXT NOT NULL REFERENCES tenant (id),
    scopes     TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;

CREATE TABLE console_session (
    hash       BLOB PRIMARY KEY,
    tenant     TEXT NOT NULL REFERENCES tenant (id),
    scopes     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- `epoch` is reserved here before it is announced in a Welcome.
CREATE TABLE gateway (
    id            TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL REFERENCES tenant (id),
    name          TEXT NOT NULL,
    secret_hash   BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    epoch         INTEGER NOT NULL DEFAULT 0,
    boot          BLOB,
    software      TEXT,
    generation    INTEGER NOT NULL DEFAULT 0,
    catalogue     BLOB,
    contested     INTEGER NOT NULL DEFAULT 0,
    last_hello_at INTEGER,
    last_seen_at  INTEGER,
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE catalogue (
    gateway TEXT NOT NULL REFERENCES gateway (id),
    id      BLOB NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (gateway, id)
) STRICT, WITHOUT ROWID;

-- How far each stream is committed. Moves in the transaction that inserts the batch.
CREATE TABLE cursor (
    gateway     TEXT NOT NULL REFERENCES gateway (id),
    incarnation BLOB NOT NULL,
    stream      INTEGER NOT NULL,
    committed   INTEGER NOT NULL,
    chain       BLOB NOT NULL,
    PRIMARY KEY (gateway, incarnation, stream)
) STRICT, WITHOUT ROWID;

-- A batch as it came. `from_at`/`to_at` is the time span of its records in UTC, NULL while it
-- cannot be placed (no UTC known, or opaque). `state`: 0 readable, 1 gap, 2 opaque (custody only).
CREATE TABLE batch (
    sequence     INTEGER PRIMARY KEY,
    tenant       TEXT NOT NULL,
    gateway      TEXT NOT NULL REFERENCES gateway (id),
    incarnation  BLOB NOT NULL,
    stream       INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    next         INTEGER NOT NULL,
    catalogue    BLOB,
    from_at      INTEGER,
    to_at        INTEGER,
    state        INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    body         BLOB NOT NULL,
    UNIQUE (gateway, incarnation, stream, first)
) STRICT;

CREATE INDEX batch_by_time ON batch (gateway, stream, to_at, from_at);

-- Usage, booked in the ingest transaction. `day` counts UTC days since 1970-01-01.
CREATE TABLE ledger (
    tenant  TEXT NOT NULL,
    gateway TEXT NOT NULL,
    day     INTEGER NOT NULL,
    batches INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    events  INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    PRIMARY KEY (tenant, gateway, day)
) STRICT, WITHOUT ROWID;

-- One row an occurrence; `transition` orders what two messages say of it.
CREATE TABLE alarm (
    id          INTEGER PRIMARY KEY,
    tenant      TEXT NOT NULL,
    gateway     TEXT NOT NULL REFERENCES gateway (id),
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
    UNIQUE (gateway, device, alarm, occurrence)
) STRICT;

-- `state`: accepted, sent, done, failed, expired, cancelled, interrupted, unconfirmed. Values are
-- text with their kind, `float64:230.2`. `failure` is the kind of a failure, `reason` is for people.
CREATE TABLE command (
    id              TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    gateway         TEXT NOT NULL REFERENCES gateway (id),
    device          TEXT NOT NULL,
    signal          TEXT NOT NULL,
    value           TEXT NOT NULL,
    verify          INTEGER NOT NULL,
    retry_safe      INTEGER NOT NULL,
    dry_run         INTEGER NOT NULL,
    created_by      TEXT NOT NULL,
    idempotency_key TEXT,
    created_at      INTEGER NOT NULL,
    not_after       INTEGER NOT NULL,
    state           TEXT NOT NULL,
    sent_at         INTEGER,
    closed_at       INTEGER,
    read_back       TEXT,
    failure         TEXT,
    reason          TEXT,
    UNIQUE (tenant, idempotency_key)
) STRICT;

CREATE INDEX command_open ON command (gateway, state);

-- Who changed what. Rows are only ever added.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    tenant   TEXT NOT NULL,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    target   TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;
