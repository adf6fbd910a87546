-- A device that a request's header names belongs to the user who used it first: found without a user. By a hash, which
-- no statement that names the scope can use instead: many users may have devices of one name.
CREATE INDEX source_device ON sync.source (hashtextextended(device, 0));
