-- What giving usage out needs.

-- What is older may be gone: batches by when they came, sums by their begin.
CREATE TABLE forgotten (
    what       TEXT PRIMARY KEY,  -- batches, usage_hours, usage_days
    before_ms  BIGINT NOT NULL
);

-- Which server exports.
CREATE TABLE leases (
    name      TEXT PRIMARY KEY,
    holder    TEXT NOT NULL,
    until_ms  BIGINT NOT NULL
);

-- Events that a receiver refused, for an operator.
CREATE TABLE refused_events (
    exporter    TEXT NOT NULL,
    id          TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    refused_ms  BIGINT NOT NULL,
    answer      TEXT NOT NULL,  -- what the receiver said
    event       TEXT NOT NULL,  -- the CloudEvent, JSON
    PRIMARY KEY (exporter, id)
);
