-- Whose usage a sender may report: the tenants that it was given to serve.
CREATE TABLE given (
    holder    TEXT NOT NULL,    -- name of an edge, or sidecar/<namespace>
    tenant    TEXT NOT NULL,
    given_ms  BIGINT NOT NULL,  -- when it was last known to have it
    PRIMARY KEY (holder, tenant)
);
