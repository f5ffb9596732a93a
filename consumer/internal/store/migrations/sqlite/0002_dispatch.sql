-- compatible: 1

-- When a notice was given to channels; NULL: not yet.
ALTER TABLE notice ADD COLUMN routed_at INTEGER;

-- What was made before there were channels is no news any more.
UPDATE notice SET routed_at = created_at;

CREATE INDEX notice_unrouted ON notice (seq) WHERE routed_at IS NULL;

-- One notice on its way to one channel. app_id and period are the notice's, for the order
-- in which one app's are sent and for the end of what is kept up.
CREATE TABLE dispatch (
    seq        INTEGER PRIMARY KEY,
    notice_seq INTEGER NOT NULL,
    channel    TEXT    NOT NULL,
    app_id     INTEGER NOT NULL,
    period     TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'sent', 'parked')),
    attempts   INTEGER NOT NULL,
    next_at    INTEGER NOT NULL, -- not to be sent before
    kept_until INTEGER,          -- sent, and to be repeated until then
    error      TEXT    NOT NULL, -- of the last attempt; empty: none failed
    changed_at INTEGER NOT NULL,
    UNIQUE (notice_seq, channel)
) STRICT;

CREATE INDEX dispatch_due ON dispatch (channel, next_at, seq) WHERE state = 'pending';
CREATE INDEX dispatch_of_app ON dispatch (channel, app_id, seq) WHERE state = 'pending';
CREATE INDEX dispatch_kept ON dispatch (channel, kept_until) WHERE kept_until IS NOT NULL;

CREATE TRIGGER notice_removed AFTER DELETE ON notice BEGIN
    DELETE FROM dispatch WHERE notice_seq = OLD.seq;
END;

-- Which consumer sends to a channel, and until when it has said so.
CREATE TABLE channel_lease (
    channel TEXT    PRIMARY KEY,
    owner   TEXT    NOT NULL,
    until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
