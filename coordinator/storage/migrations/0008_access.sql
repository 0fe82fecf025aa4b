-- Tokens of the HTTP API. A row is never deleted: the history names its bearer, and a farm that once had a token is
-- never open again by accident.
CREATE TABLE access_tokens (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$'),
    role       text NOT NULL CHECK (role IN ('agent', 'viewer', 'submitter', 'operator', 'admin')),
    -- What it is looked up by, and the SHA-256 of the whole: 256 random bits cannot be searched for.
    prefix     text NOT NULL UNIQUE CHECK (prefix ~ '^fht_[0-9a-f]{12}$'),
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz CHECK (expires_at > created_at),
    revoked_at timestamptz CHECK (revoked_at >= created_at),
    revoked_by text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
-- A name belongs to one token at a time.
CREATE UNIQUE INDEX access_tokens_name ON access_tokens (name) WHERE revoked_at IS NULL;
