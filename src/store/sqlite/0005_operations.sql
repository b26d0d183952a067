CREATE VIEW live_clock (ms) AS SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER);

CREATE TABLE live_owner (
    id TEXT NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operation (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    cluster TEXT,
    created INTEGER NOT NULL,
    at INTEGER NOT NULL,
    done INTEGER NOT NULL,
    shown INTEGER NOT NULL,
    owner TEXT NOT NULL,
    claim BLOB,
    became TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX operation_created ON operation (created, id);
CREATE INDEX operation_at ON operation (at);
CREATE INDEX operation_open ON operation (owner) WHERE done = 0;
CREATE INDEX operation_claim ON operation (claim) WHERE claim IS NOT NULL;

CREATE TABLE claim (
    key BLOB NOT NULL PRIMARY KEY,
    print BLOB NOT NULL,
    since INTEGER NOT NULL,
    owner TEXT NOT NULL,
    asked INTEGER NOT NULL,
    answer TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_since ON claim (since);

CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY,
    made INTEGER NOT NULL,
    used INTEGER NOT NULL,
    entry TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT,
    target TEXT,
    status INTEGER,
    request TEXT,
    line TEXT NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at);
