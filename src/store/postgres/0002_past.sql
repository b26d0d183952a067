CREATE TABLE restart (
    first BIGINT NOT NULL PRIMARY KEY,
    after BIGINT NOT NULL
);

CREATE TABLE unseen (
    source TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL
);

ALTER TABLE change ADD COLUMN was BIGINT;
CREATE INDEX change_time ON change (at, generation);
DROP INDEX change_at;
