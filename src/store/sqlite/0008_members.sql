-- One gateway has a file alone: there is nothing that several share.
SELECT 1;
