CREATE VIEW live_clock (ms) AS SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT);

CREATE TABLE live_owner (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    until BIGINT NOT NULL
);

CREATE TABLE operation (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    source TEXT COLLATE "C" NOT NULL,
    cluster TEXT COLLATE "C",
    created BIGINT NOT NULL,
    at BIGINT NOT NULL,
    done BIGINT NOT NULL,
    shown BIGINT NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    claim BYTEA,
    became TEXT COLLATE "C",
    body TEXT NOT NULL
);
CREATE INDEX operation_created ON operation (created, id);
CREATE INDEX operation_at ON operation (at);
CREATE INDEX operation_open ON operation (owner) WHERE done = 0;
CREATE INDEX operation_claim ON operation (claim) WHERE claim IS NOT NULL;

CREATE TABLE claim (
    key BYTEA NOT NULL PRIMARY KEY,
    print BYTEA NOT NULL,
    since BIGINT NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    asked BIGINT NOT NULL,
    answer TEXT
);
CREATE INDEX claim_since ON claim (since);

CREATE TABLE api_key (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    made BIGINT NOT NULL,
    used BIGINT NOT NULL,
    entry TEXT NOT NULL
);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C",
    target TEXT COLLATE "C",
    status BIGINT,
    request TEXT COLLATE "C",
    line TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
