-- The step to a ring beside the database.

-- Through which record of which ring everything is here, and when the two files came into being: a
-- copy is younger.
CREATE TABLE watermark (
    only      INTEGER PRIMARY KEY CHECK (only = 1),
    pair      BLOB NOT NULL,
    through   INTEGER NOT NULL,
    file_born INTEGER,
    ring_born INTEGER
) STRICT;

-- Why the records that `lost` counts are lost; bytes of the batches below `released` that are still
-- held; up to where samples were thinned, and the bytes that they take now.
ALTER TABLE line ADD COLUMN lost_reason INTEGER NOT NULL DEFAULT 0;
ALTER TABLE line ADD COLUMN released_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE line ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE line ADD COLUMN thinned_bytes INTEGER NOT NULL DEFAULT 0;

-- 1 for a gap in the place of what was lost.
ALTER TABLE batch ADD COLUMN is_gap INTEGER NOT NULL DEFAULT 0;
