-- Since when a doubt stands, in readoptions; NULL while that is not known. `withheld` says why no
-- command runs: 0 nothing, 1 the journal was lost, 2 the owner holds another history.
ALTER TABLE fence ADD COLUMN since INTEGER;

-- When each step was taken, UTC in milliseconds as the owner anchored it, and until when the command
-- may start: an id is remembered for at least as long.
ALTER TABLE command ADD COLUMN not_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE command ADD COLUMN received_at INTEGER;
ALTER TABLE command ADD COLUMN started_at INTEGER;
ALTER TABLE command ADD COLUMN closed_at INTEGER;
