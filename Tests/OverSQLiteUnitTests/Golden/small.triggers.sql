CREATE TRIGGER "_sync_1_delete" AFTER DELETE ON "notes" BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (1, OLD."id", iif(EXISTS (SELECT 1 FROM _sync_applying), 1, 4),
    /* image */ CASE WHEN EXISTS (SELECT 1 FROM _sync_applying) OR NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 1 AND key = OLD."id") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 1 AND key = OLD."id") THEN json_object('id', quote(OLD."id"), 'title', quote(OLD."title"), 'stars', quote(OLD."stars")) END /* end of image */);
END;

CREATE TRIGGER "_sync_1_insert" AFTER INSERT ON "notes" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key) VALUES (1, NEW."id");
END;

CREATE TRIGGER "_sync_1_update" AFTER UPDATE ON "notes" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (1, OLD."id", 4 * (NEW."id" COLLATE BINARY IS NOT OLD."id"),
    /* image */ CASE WHEN NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 1 AND key = OLD."id") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 1 AND key = OLD."id") THEN json_object('id', quote(OLD."id"), 'title', quote(OLD."title"), 'stars', quote(OLD."stars")) END /* end of image */);
  INSERT INTO _sync_log (tbl, key)
  SELECT 1, NEW."id" WHERE NEW."id" COLLATE BINARY IS NOT OLD."id";
END;

CREATE TRIGGER "_sync_2_delete" AFTER DELETE ON "tags" BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (2, OLD."code", iif(EXISTS (SELECT 1 FROM _sync_applying), 1, 4),
    /* image */ CASE WHEN EXISTS (SELECT 1 FROM _sync_applying) OR NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 2 AND key = OLD."code") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 2 AND key = OLD."code") THEN json_object('code', quote(OLD."code"), 'label', quote(OLD."label")) END /* end of image */);
END;

CREATE TRIGGER "_sync_2_insert" AFTER INSERT ON "tags" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key) VALUES (2, NEW."code");
END;

CREATE TRIGGER "_sync_2_replace_insert_0" BEFORE INSERT ON "tags" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 2, "code", 2, /* image */ json_object('code', quote("code"), 'label', quote("label")) /* end of image */
  FROM "tags"
  WHERE "label" = NEW."label" AND "code" COLLATE BINARY IS NOT NEW."code";
END;

CREATE TRIGGER "_sync_2_replace_update_0" BEFORE UPDATE OF "label" ON "tags" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 2, "code", 2, /* image */ json_object('code', quote("code"), 'label', quote("label")) /* end of image */
  FROM "tags"
  WHERE "label" = NEW."label" AND "code" COLLATE BINARY IS NOT OLD."code";
END;

CREATE TRIGGER "_sync_2_update" AFTER UPDATE ON "tags" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (2, OLD."code", 4 * (NEW."code" COLLATE BINARY IS NOT OLD."code"),
    /* image */ CASE WHEN NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 2 AND key = OLD."code") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 2 AND key = OLD."code") THEN json_object('code', quote(OLD."code"), 'label', quote(OLD."label")) END /* end of image */);
  INSERT INTO _sync_log (tbl, key)
  SELECT 2, NEW."code" WHERE NEW."code" COLLATE BINARY IS NOT OLD."code";
END;
