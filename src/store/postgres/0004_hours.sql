CREATE TABLE hour (
    source TEXT NOT NULL,
    hour BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    account BYTEA NOT NULL,
    PRIMARY KEY (source, hour)
);
CREATE INDEX hour_hour ON hour (hour);
