CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE source (
    name TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    clusters INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    print BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cluster (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (source, id)
) STRICT;
CREATE INDEX cluster_generation ON cluster (generation);

CREATE TABLE change (
    generation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    source TEXT NOT NULL,
    cluster TEXT,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    document BLOB,
    PRIMARY KEY (generation, number)
) STRICT;
CREATE INDEX change_at ON change (at);
CREATE INDEX change_cluster ON change (cluster, generation) WHERE cluster IS NOT NULL;

CREATE TABLE sync (
    source TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    error TEXT,
    pages INTEGER NOT NULL,
    clusters INTEGER,
    rejected INTEGER NOT NULL,
    PRIMARY KEY (source, started_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_started_at ON sync (started_at);
