CREATE TABLE hook (
    name TEXT NOT NULL PRIMARY KEY,
    place TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    success_at INTEGER,
    failure_at INTEGER,
    failure_status INTEGER,
    failure_code TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    hook TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    give_up_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    last_at INTEGER,
    status INTEGER,
    code TEXT,
    ended_at INTEGER,
    claimed_by TEXT,
    claimed_until INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (hook, number),
    UNIQUE (hook, id)
) STRICT;
CREATE INDEX delivery_due ON delivery (hook, number) WHERE state = 'pending';
CREATE INDEX delivery_subject ON delivery (hook, subject, number) WHERE state = 'pending';
CREATE INDEX delivery_give_up ON delivery (give_up_at) WHERE state = 'pending';
CREATE INDEX delivery_ended ON delivery (state, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX delivery_state ON delivery (hook, state, number);
