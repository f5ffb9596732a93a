-- compatible: 1

-- Times are milliseconds since 1970, UTC.

-- One row for each alarm id. The event is what was published, byte for byte; the facts
-- beside it are for queries. seq is the order of saving.
CREATE TABLE alarm (
    seq           INTEGER PRIMARY KEY,
    alarm_id      TEXT    NOT NULL,
    app_id        INTEGER NOT NULL,
    owner         TEXT,
    severity      TEXT    NOT NULL,
    quota_used    INTEGER NOT NULL CHECK (quota_used >= 0),
    quota         INTEGER NOT NULL CHECK (quota >= 1),
    used_percent  REAL    NOT NULL,
    period        TEXT    NOT NULL,
    late          INTEGER NOT NULL,
    event_time    INTEGER NOT NULL, -- as the state uses it
    vendor_time   INTEGER,          -- as the vendor sent it
    received_at   INTEGER NOT NULL,
    deliveries    INTEGER NOT NULL CHECK (deliveries >= 1),
    raw_topic     TEXT    NOT NULL, -- coordinates of the first copy
    raw_partition INTEGER NOT NULL,
    raw_offset    INTEGER NOT NULL,
    event         BLOB    NOT NULL CHECK (length(event) > 0)
) STRICT;

-- Begins with the time, so new ids go to the right end of the tree.
CREATE UNIQUE INDEX alarm_by_id ON alarm (alarm_id);
CREATE INDEX alarm_by_receipt ON alarm (received_at);
CREATE INDEX alarm_by_app ON alarm (app_id, received_at);

-- State of each app: quota.Period as JSON.
CREATE TABLE period (
    app_id  INTEGER PRIMARY KEY,
    key     TEXT    NOT NULL,
    last_at INTEGER NOT NULL,
    state   TEXT    NOT NULL
) STRICT;

CREATE INDEX period_by_last ON period (last_at);

-- Messages to people. seq is the order in which they were made.
CREATE TABLE notice (
    seq        INTEGER PRIMARY KEY,
    app_id     INTEGER NOT NULL,
    period     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    step       TEXT    NOT NULL,
    count      INTEGER NOT NULL CHECK (count >= 1),
    alarm      TEXT    NOT NULL, -- the event that made it, as JSON
    created_at INTEGER NOT NULL,
    UNIQUE (app_id, period, kind, step)
) STRICT;

CREATE INDEX notice_by_creation ON notice (created_at);

-- Records that could not be used, as they were fetched. headers is the encoding of
-- headers.go.
CREATE TABLE dead_letter (
    seq         INTEGER PRIMARY KEY,
    app_id      INTEGER NOT NULL, -- 0: the key does not say
    reason      TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    consumer    TEXT    NOT NULL, -- the group that failed
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    record_time INTEGER NOT NULL,
    key         BLOB,
    value       BLOB,
    headers     BLOB    NOT NULL,
    failed_at   INTEGER NOT NULL,
    replayed_at INTEGER,
    bytes       INTEGER NOT NULL, -- of key, value, headers and message
    UNIQUE (topic, partition, offset, record_time)
) STRICT;

CREATE INDEX dead_letter_by_failure ON dead_letter (failed_at);

-- What all dead letters hold together, kept by the triggers: a sum over the table would
-- read all of it.
CREATE TABLE dead_letter_total (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    bytes INTEGER NOT NULL
) STRICT;

INSERT INTO dead_letter_total (id, bytes) VALUES (1, 0);

CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letter BEGIN
    UPDATE dead_letter_total SET bytes = bytes + NEW.bytes;
END;

CREATE TRIGGER dead_letter_removed AFTER DELETE ON dead_letter BEGIN
    UPDATE dead_letter_total SET bytes = bytes - OLD.bytes;
END;

-- How far each partition was saved.
CREATE TABLE progress (
    topic     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    offset    INTEGER NOT NULL,
    log_end   INTEGER NOT NULL,
    newest    INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
