-- compatible: 1

-- When a notice was given to channels; null: not yet.
ALTER TABLE notice ADD COLUMN routed_at timestamptz;

-- What was made before there were channels is no news any more.
UPDATE notice SET routed_at = created_at;

CREATE INDEX notice_unrouted ON notice (seq) WHERE routed_at IS NULL;
CREATE INDEX notice_unrouted_of_app ON notice (app_id, seq) WHERE routed_at IS NULL;

-- One notice on its way to one channel. app_id and period are the notice's, for the order
-- in which one app's are sent and for the end of what is kept up. Whoever gives a notice to
-- channels keeps retention from it, by the foreign key's lock.
CREATE TABLE dispatch (
    seq        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notice_seq bigint      NOT NULL REFERENCES notice ON DELETE CASCADE,
    channel    text        NOT NULL COLLATE "C",
    app_id     bigint      NOT NULL,
    period     text        NOT NULL COLLATE "C",
    state      text        NOT NULL COLLATE "C" CHECK (state IN ('pending', 'sent', 'parked')),
    attempts   integer     NOT NULL,
    next_at    timestamptz NOT NULL, -- not to be sent before
    kept_until timestamptz,          -- sent, and to be repeated until then
    error      text        NOT NULL, -- of the last attempt; empty: none failed
    changed_at timestamptz NOT NULL,
    UNIQUE (notice_seq, channel)
);

CREATE INDEX dispatch_due ON dispatch (channel, next_at, seq) WHERE state = 'pending';
CREATE INDEX dispatch_of_app ON dispatch (channel, app_id, seq) WHERE state = 'pending';
CREATE INDEX dispatch_kept ON dispatch (channel, kept_until) WHERE kept_until IS NOT NULL;

-- Which consumer sends to a channel, and until when it has said so.
CREATE TABLE channel_lease (
    channel text        PRIMARY KEY COLLATE "C",
    owner   text        NOT NULL,
    until   timestamptz NOT NULL
);
