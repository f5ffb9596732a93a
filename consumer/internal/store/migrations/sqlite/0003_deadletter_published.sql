-- compatible: 1

-- When Kafka had answered what the replay of a dead letter published. Null beside a
-- replayed_at: the replay was interrupted in between, and the next one publishes first.
ALTER TABLE dead_letter ADD COLUMN published_at INTEGER;
