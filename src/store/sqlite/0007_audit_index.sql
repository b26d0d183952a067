CREATE INDEX audit_time ON audit (at, id);
DROP INDEX audit_at;
CREATE INDEX audit_action ON audit (action, at, id, actor, target);
CREATE INDEX audit_actor ON audit (actor, at, id, action) WHERE actor IS NOT NULL;
CREATE INDEX audit_target ON audit (target, at, id, action) WHERE target IS NOT NULL;

ALTER TABLE hook ADD COLUMN gone_at INTEGER;
CREATE INDEX delivery_next ON delivery (hook, next_at, number) WHERE state = 'pending';
DROP INDEX delivery_due;
CREATE INDEX delivery_about ON delivery (hook, subject, state, number) WHERE state = 'pending';
DROP INDEX delivery_subject;
