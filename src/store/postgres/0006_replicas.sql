-- Gateways that take part, each as long as it says so.
CREATE TABLE replica (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    until TIMESTAMPTZ NOT NULL
);

-- Who reads which source. The token is another one for each time that it is taken over.
CREATE TABLE lease (
    source TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    token BIGINT NOT NULL,
    until TIMESTAMPTZ NOT NULL,
    wanted BOOLEAN NOT NULL DEFAULT FALSE,
    vitals TEXT COLLATE "C"
);

-- The last generation of each gateway: whoever does not know whether it is durable looks here.
CREATE TABLE turn (
    replica TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
);

-- Clusters that are no more, for those who have them still. An empty id stands for all that a source had before.
CREATE TABLE gone (
    source TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (source, id)
);
CREATE INDEX gone_generation ON gone (generation);
CREATE INDEX source_generation ON source (generation);
