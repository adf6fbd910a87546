CREATE TRIGGER "_sync_2_delete" AFTER DELETE ON "lines" BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (2, OLD."number", iif(EXISTS (SELECT 1 FROM _sync_applying), 1, 4),
    /* image */ CASE WHEN EXISTS (SELECT 1 FROM _sync_applying) OR NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 2 AND key = CAST(OLD."number" AS TEXT)) OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 2 AND key = CAST(OLD."number" AS TEXT)) THEN json_object('number', quote(OLD."number"), 'order_id', quote(OLD."order_id"), 'note', quote(OLD."note")) END /* end of image */);
END;

CREATE TRIGGER "_sync_2_insert" AFTER INSERT ON "lines" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key) VALUES (2, NEW."number");
END;

CREATE TRIGGER "_sync_2_update" AFTER UPDATE ON "lines" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (2, OLD."number", 4 * (NEW."number" COLLATE BINARY IS NOT OLD."number"),
    /* image */ CASE WHEN NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 2 AND key = CAST(OLD."number" AS TEXT)) OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 2 AND key = CAST(OLD."number" AS TEXT)) THEN json_object('number', quote(OLD."number"), 'order_id', quote(OLD."order_id"), 'note', quote(OLD."note")) END /* end of image */);
  INSERT INTO _sync_log (tbl, key)
  SELECT 2, NEW."number" WHERE NEW."number" COLLATE BINARY IS NOT OLD."number";
END;

CREATE TRIGGER "_sync_1_delete" AFTER DELETE ON "orders" BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (1, OLD."id", iif(EXISTS (SELECT 1 FROM _sync_applying), 1, 4),
    /* image */ CASE WHEN EXISTS (SELECT 1 FROM _sync_applying) OR NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 1 AND key = CAST(OLD."id" AS TEXT)) OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 1 AND key = CAST(OLD."id" AS TEXT)) THEN json_object('id', quote(OLD."id"), 'title', quote(OLD."title")) END /* end of image */);
END;

CREATE TRIGGER "_sync_1_insert" AFTER INSERT ON "orders" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key) VALUES (1, NEW."id");
END;

CREATE TRIGGER "_sync_1_keyless" BEFORE INSERT ON "orders" WHEN NEW."id" = -1 AND NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  SELECT RAISE(ABORT, 'orders.id must be given: SQLite would choose a number that another device may choose for another row');
END;

CREATE TRIGGER "_sync_1_update" AFTER UPDATE ON "orders" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (1, OLD."id", 4 * (NEW."id" COLLATE BINARY IS NOT OLD."id"),
    /* image */ CASE WHEN NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 1 AND key = CAST(OLD."id" AS TEXT)) OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 1 AND key = CAST(OLD."id" AS TEXT)) THEN json_object('id', quote(OLD."id"), 'title', quote(OLD."title")) END /* end of image */);
  INSERT INTO _sync_log (tbl, key)
  SELECT 1, NEW."id" WHERE NEW."id" COLLATE BINARY IS NOT OLD."id";
END;
