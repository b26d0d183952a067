CREATE TABLE hour (
    source TEXT NOT NULL,
    hour INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    account BLOB NOT NULL,
    PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX hour_hour ON hour (hour);
