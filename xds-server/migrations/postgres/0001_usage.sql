-- Usage of tenants. Times are milliseconds since 1970 UTC. Amounts stop at 9223372036854775807.

-- One row: what is counted across tables, changed within the transaction that it counts.
CREATE TABLE ledger (
    one          SMALLINT PRIMARY KEY CHECK (one = 1),
    position     BIGINT NOT NULL,   -- of the newest batch
    aside_rows   BIGINT NOT NULL,
    aside_bytes  BIGINT NOT NULL
);
INSERT INTO ledger VALUES (1, 0, 0, 0);

-- Batches as they came, without what was refused.
CREATE TABLE batches (
    epoch             BYTEA NOT NULL,
    sequence          BIGINT NOT NULL,
    first_sequence    BIGINT NOT NULL,
    position          BIGINT NOT NULL UNIQUE,
    proxy             TEXT NOT NULL,
    started_ms        BIGINT NOT NULL,
    ended_ms          BIGINT NOT NULL,
    booked_ms         BIGINT NOT NULL,  -- its start, or when it came where that cannot be believed
    received_ms       BIGINT NOT NULL,
    is_last           BOOLEAN NOT NULL,
    lost_open_window  BOOLEAN NOT NULL,
    digest            BYTEA NOT NULL,    -- SHA-256 of what was sent
    payload           BYTEA NOT NULL,    -- weir.usage.v1.UsageBatch, zstd
    PRIMARY KEY (epoch, sequence)
);
-- It is compressed already.
ALTER TABLE batches ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX batches_booked ON batches (booked_ms, position);

-- Sequences whose batches were swept: a batch that comes again after that still adds nothing.
CREATE TABLE swept (
    epoch             BYTEA NOT NULL,
    sequence          BIGINT NOT NULL,
    first_sequence    BIGINT NOT NULL,
    proxy             TEXT NOT NULL,
    ended_ms          BIGINT NOT NULL,
    swept_ms          BIGINT NOT NULL,
    is_last           BOOLEAN NOT NULL,
    lost_open_window  BOOLEAN NOT NULL,
    PRIMARY KEY (epoch, sequence)
);

CREATE TABLE usage_hours (
    start_ms               BIGINT NOT NULL,
    tenant                 TEXT COLLATE "C" NOT NULL,
    requests               BIGINT NOT NULL,
    request_bytes          BIGINT NOT NULL,
    response_bytes         BIGINT NOT NULL,
    execution_ms           BIGINT NOT NULL,
    limited_requests       BIGINT NOT NULL,
    denied_requests        BIGINT NOT NULL,
    tunnel_request_bytes   BIGINT NOT NULL,
    tunnel_response_bytes  BIGINT NOT NULL,
    PRIMARY KEY (start_ms, tenant)
) WITH (fillfactor = 45);  -- room beside each row for its next version: an update makes no index entry

CREATE TABLE usage_days (
    start_ms               BIGINT NOT NULL,
    tenant                 TEXT COLLATE "C" NOT NULL,
    requests               BIGINT NOT NULL,
    request_bytes          BIGINT NOT NULL,
    response_bytes         BIGINT NOT NULL,
    execution_ms           BIGINT NOT NULL,
    limited_requests       BIGINT NOT NULL,
    denied_requests        BIGINT NOT NULL,
    tunnel_request_bytes   BIGINT NOT NULL,
    tunnel_response_bytes  BIGINT NOT NULL,
    PRIMARY KEY (start_ms, tenant)
) WITH (fillfactor = 45);  -- room beside each row for its next version: an update makes no index entry

-- What was acknowledged and not booked, for an operator.
CREATE TABLE aside (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest       BYTEA NOT NULL UNIQUE,  -- of reason and payload: what comes again is kept once
    received_ms  BIGINT NOT NULL,
    reason       TEXT NOT NULL,         -- refused, conflict, malformed
    detail       TEXT NOT NULL,
    payload      BYTEA NOT NULL          -- weir.usage.v1.UsageBatch as sent; of a refusal, the refused rows
);
CREATE INDEX aside_received ON aside (received_ms);

-- How far each exporter is.
CREATE TABLE exports (
    name              TEXT PRIMARY KEY,
    done_position     BIGINT NOT NULL,
    pending_position  BIGINT           -- the end of the range that is being sent
);
