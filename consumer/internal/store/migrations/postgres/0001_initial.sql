-- compatible: 1

-- Text that is a key is compared byte by byte (COLLATE "C"): quicker, and an index survives
-- an operating system whose locales sort otherwise. What may hold any text is written as
-- postgres_text.go says, as PostgreSQL has no NUL.

CREATE SEQUENCE alarm_seq;

-- One row for each alarm id, in a partition for each day of the events, UTC. The day follows
-- from the id, which begins with the time (schema.AlarmID), so that two copies of an alarm
-- can never be in two partitions: (event_day, alarm_id) is as unique as alarm_id alone. The
-- event is what was published, byte for byte; the facts beside it are for queries. seq is
-- the order of saving.
CREATE TABLE alarm (
    event_day     date        NOT NULL,
    alarm_id      text        NOT NULL COLLATE "C",
    seq           bigint      NOT NULL DEFAULT nextval('alarm_seq'),
    app_id        bigint      NOT NULL,
    owner         text,
    severity      text        NOT NULL,
    quota_used    bigint      NOT NULL CHECK (quota_used >= 0),
    quota         bigint      NOT NULL CHECK (quota >= 1),
    used_percent  float8      NOT NULL,
    period        text        NOT NULL,
    late          boolean     NOT NULL,
    event_time    timestamptz NOT NULL, -- as the state uses it
    vendor_time   timestamptz,          -- as the vendor sent it
    received_at   timestamptz NOT NULL,
    deliveries    integer     NOT NULL CHECK (deliveries >= 1),
    raw_topic     text        NOT NULL, -- coordinates of the first copy
    raw_partition integer     NOT NULL,
    raw_offset    bigint      NOT NULL,
    event         bytea       NOT NULL CHECK (length(event) > 0),
    PRIMARY KEY (event_day, alarm_id),
    CONSTRAINT alarm_day_follows_from_id CHECK
        (event_day = date '1970-01-01' + (('x' || substr(alarm_id, 1, 12))::bit(48)::bigint / 86400000)::integer)
) PARTITION BY RANGE (event_day);

ALTER SEQUENCE alarm_seq OWNED BY alarm.seq;

CREATE INDEX alarm_by_receipt ON alarm (received_at);
CREATE INDEX alarm_by_app ON alarm (app_id, received_at);

-- Days that have no partition of their own: long ago, or far ahead.
CREATE TABLE alarm_default PARTITION OF alarm DEFAULT;

-- State of each app: quota.Period as JSON; null until the first one was saved, as an app is
-- locked by its row. Every batch updates its apps' rows: no index but the key's and room
-- in each page let that happen in place, and the state is neither compressed nor moved
-- away.
CREATE TABLE period (
    app_id  bigint      PRIMARY KEY,
    key     text,
    last_at timestamptz NOT NULL DEFAULT 'epoch',
    state   text
) WITH (fillfactor = 50, toast_tuple_target = 8160);

-- Messages to people. seq is the order in which they were made.
CREATE TABLE notice (
    seq        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id     bigint      NOT NULL,
    period     text        NOT NULL COLLATE "C",
    kind       text        NOT NULL COLLATE "C",
    step       text        NOT NULL COLLATE "C",
    count      integer     NOT NULL CHECK (count >= 1),
    alarm      text        NOT NULL, -- the event that made it, as JSON
    created_at timestamptz NOT NULL,
    UNIQUE (app_id, period, kind, step)
);

CREATE INDEX notice_by_creation ON notice (created_at);

-- Records that could not be used, as they were fetched. headers is the encoding of
-- header.go.
CREATE TABLE dead_letter (
    seq         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id      bigint      NOT NULL, -- 0: the key does not say
    reason      text        NOT NULL COLLATE "C",
    message     text        NOT NULL,
    consumer    text        NOT NULL, -- the group that failed
    topic       text        NOT NULL COLLATE "C",
    partition   integer     NOT NULL,
    "offset"    bigint      NOT NULL,
    record_time timestamptz NOT NULL,
    key         bytea,
    value       bytea,
    headers     bytea       NOT NULL,
    failed_at   timestamptz NOT NULL,
    replayed_at timestamptz,
    bytes       bigint      NOT NULL, -- of key, value, headers and message
    UNIQUE (topic, partition, "offset", record_time)
);

CREATE INDEX dead_letter_by_failure ON dead_letter (failed_at);

-- What all dead letters hold together, kept by the triggers: a sum over the table would
-- read all of it. Whoever adds or removes dead letters locks this row until the transaction
-- is over.
CREATE TABLE dead_letter_total (
    id    integer PRIMARY KEY CHECK (id = 1),
    bytes bigint  NOT NULL
);

INSERT INTO dead_letter_total (id, bytes) VALUES (1, 0);

CREATE FUNCTION dead_letter_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE dead_letter_total SET bytes = bytes + (SELECT coalesce(sum(added.bytes), 0) FROM added);
    RETURN NULL;
END $$;

CREATE FUNCTION dead_letter_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE dead_letter_total SET bytes = bytes - (SELECT coalesce(sum(removed.bytes), 0) FROM removed);
    RETURN NULL;
END $$;

CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letter
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION dead_letter_added();
CREATE TRIGGER dead_letter_removed AFTER DELETE ON dead_letter
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION dead_letter_removed();

-- How far each partition was saved.
CREATE TABLE progress (
    topic     text        NOT NULL COLLATE "C",
    partition integer     NOT NULL,
    "offset"  bigint      NOT NULL,
    log_end   bigint      NOT NULL,
    newest    timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);
