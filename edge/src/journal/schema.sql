-- control.db: what the gateway must not forget about who commands it. Small, rarely written, and
-- apart from the buffer, so that a damaged buffer does not take the fence with it.

-- Whose messages have an effect. `withheld`: the journal was lost once, so a command that is sent
-- again cannot be told from a new one; none runs until somebody readopts the gateway.
CREATE TABLE fence (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    instance TEXT,
    epoch    INTEGER NOT NULL,
    burned   INTEGER NOT NULL,
    withheld INTEGER NOT NULL
) STRICT;

-- Commands by id. `message` is the command as it came, `answer` what is said to whoever sends it
-- again. `reported`: its outcome is durable in the outcomes stream.
CREATE TABLE command (
    sequence INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    message  BLOB NOT NULL,
    answer   BLOB NOT NULL,
    reported INTEGER NOT NULL
) STRICT;

CREATE INDEX command_open ON command (reported) WHERE reported = 0;
