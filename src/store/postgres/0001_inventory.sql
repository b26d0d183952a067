CREATE TABLE meta (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE source (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    provider TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    clusters BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    print BYTEA NOT NULL
);

CREATE TABLE cluster (
    source TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    record BYTEA NOT NULL,
    PRIMARY KEY (source, id)
);
CREATE INDEX cluster_generation ON cluster (generation);

CREATE TABLE change (
    generation BIGINT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    cluster TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    document BYTEA,
    PRIMARY KEY (generation, number)
);
CREATE INDEX change_at ON change (at);
CREATE INDEX change_cluster ON change (cluster, generation) WHERE cluster IS NOT NULL;

CREATE TABLE sync (
    source TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    error TEXT COLLATE "C",
    pages BIGINT NOT NULL,
    clusters BIGINT,
    rejected BIGINT NOT NULL,
    PRIMARY KEY (source, started_at)
);
CREATE INDEX sync_started_at ON sync (started_at);
