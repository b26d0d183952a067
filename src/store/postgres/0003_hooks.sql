CREATE TABLE hook (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    place TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL,
    success_at BIGINT,
    failure_at BIGINT,
    failure_status BIGINT,
    failure_code TEXT COLLATE "C"
);

CREATE TABLE delivery (
    hook TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C",
    generation BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    give_up_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_at BIGINT,
    status BIGINT,
    code TEXT COLLATE "C",
    ended_at BIGINT,
    claimed_by TEXT COLLATE "C",
    claimed_until BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (hook, number),
    UNIQUE (hook, id)
);
CREATE INDEX delivery_due ON delivery (hook, number) WHERE state = 'pending';
CREATE INDEX delivery_subject ON delivery (hook, subject, number) WHERE state = 'pending';
CREATE INDEX delivery_give_up ON delivery (give_up_at) WHERE state = 'pending';
CREATE INDEX delivery_ended ON delivery (state, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX delivery_state ON delivery (hook, state, number);
