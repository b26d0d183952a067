-- The sources that each gateway has, as JSON; NULL where it does not say so.
ALTER TABLE replica ADD COLUMN sources TEXT COLLATE "C";
