-- Tables whose keys are whole numbers: the sidecar keeps such a key as its decimal digits, so that what reads text keys
-- reads them, too.
ALTER TABLE sync.catalog DROP CONSTRAINT catalog_key_kind_check;
ALTER TABLE sync.catalog
    ADD CONSTRAINT catalog_key_kind_check CHECK (key_kind IN ('uuid', 'text', 'integer'));
