CREATE TRIGGER "_sync_2_delete" AFTER DELETE ON "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are" BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (2, OLD."id", iif(EXISTS (SELECT 1 FROM _sync_applying), 1, 4),
    /* image */ CASE WHEN EXISTS (SELECT 1 FROM _sync_applying) OR NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 2 AND key = OLD."id") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 2 AND key = OLD."id") THEN json_object('rowid_alias', quote(OLD."rowid_alias"), 'id', quote(OLD."id"), 'parent', quote(OLD."parent"), 'group', quote(OLD."group")) END /* end of image */);
END;

CREATE TRIGGER "_sync_2_insert" AFTER INSERT ON "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key) VALUES (2, NEW."id");
END;

CREATE TRIGGER "_sync_2_replace_insert_0" BEFORE INSERT ON "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 2, "id", 2, /* image */ json_object('rowid_alias', quote("rowid_alias"), 'id', quote("id"), 'parent', quote("parent"), 'group', quote("group")) /* end of image */
  FROM "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are"
  WHERE "parent" = NEW."parent" AND "group" = NEW."group" AND "id" COLLATE BINARY IS NOT NEW."id";
END;

CREATE TRIGGER "_sync_2_replace_insert_1" BEFORE INSERT ON "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 2, "id", 2, /* image */ json_object('rowid_alias', quote("rowid_alias"), 'id', quote("id"), 'parent', quote("parent"), 'group', quote("group")) /* end of image */
  FROM "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are"
  WHERE "rowid_alias" = NEW."rowid_alias" AND "id" COLLATE BINARY IS NOT NEW."id";
END;

CREATE TRIGGER "_sync_2_replace_update_0" BEFORE UPDATE OF "parent", "group" ON "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 2, "id", 2, /* image */ json_object('rowid_alias', quote("rowid_alias"), 'id', quote("id"), 'parent', quote("parent"), 'group', quote("group")) /* end of image */
  FROM "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are"
  WHERE "parent" = NEW."parent" AND "group" = NEW."group" AND "id" COLLATE BINARY IS NOT OLD."id";
END;

CREATE TRIGGER "_sync_2_replace_update_1" BEFORE UPDATE OF "rowid_alias" ON "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 2, "id", 2, /* image */ json_object('rowid_alias', quote("rowid_alias"), 'id', quote("id"), 'parent', quote("parent"), 'group', quote("group")) /* end of image */
  FROM "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are"
  WHERE "rowid_alias" = NEW."rowid_alias" AND "id" COLLATE BINARY IS NOT OLD."id";
END;

CREATE TRIGGER "_sync_2_update" AFTER UPDATE ON "A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (2, OLD."id", 4 * (NEW."id" COLLATE BINARY IS NOT OLD."id"),
    /* image */ CASE WHEN NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 2 AND key = OLD."id") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 2 AND key = OLD."id") THEN json_object('rowid_alias', quote(OLD."rowid_alias"), 'id', quote(OLD."id"), 'parent', quote(OLD."parent"), 'group', quote(OLD."group")) END /* end of image */);
  INSERT INTO _sync_log (tbl, key)
  SELECT 2, NEW."id" WHERE NEW."id" COLLATE BINARY IS NOT OLD."id";
END;

CREATE TRIGGER "_sync_1_delete" AFTER DELETE ON "select" BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (1, OLD."group", iif(EXISTS (SELECT 1 FROM _sync_applying), 1, 4),
    /* image */ CASE WHEN EXISTS (SELECT 1 FROM _sync_applying) OR NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 1 AND key = OLD."group") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 1 AND key = OLD."group") THEN json_object('group', quote(OLD."group"), 'it''s "quoted" here', quote(OLD."it's ""quoted"" here"), 'größe', quote(OLD."Größe"), 'where', quote(OLD."where"), 'a%b', quote(OLD."a%b")) END /* end of image */);
END;

CREATE TRIGGER "_sync_1_insert" AFTER INSERT ON "select" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key) VALUES (1, NEW."group");
END;

CREATE TRIGGER "_sync_1_replace_insert_0" BEFORE INSERT ON "select" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 1, "group", 2, /* image */ json_object('group', quote("group"), 'it''s "quoted" here', quote("it's ""quoted"" here"), 'größe', quote("Größe"), 'where', quote("where"), 'a%b', quote("a%b")) /* end of image */
  FROM "select"
  WHERE "where" = NEW."where" AND "a%b" = NEW."a%b" AND "group" COLLATE BINARY IS NOT NEW."group";
END;

CREATE TRIGGER "_sync_1_replace_update_0" BEFORE UPDATE OF "where", "a%b" ON "select" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  SELECT 1, "group", 2, /* image */ json_object('group', quote("group"), 'it''s "quoted" here', quote("it's ""quoted"" here"), 'größe', quote("Größe"), 'where', quote("where"), 'a%b', quote("a%b")) /* end of image */
  FROM "select"
  WHERE "where" = NEW."where" AND "a%b" = NEW."a%b" AND "group" COLLATE BINARY IS NOT OLD."group";
END;

CREATE TRIGGER "_sync_1_update" AFTER UPDATE ON "select" WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
  INSERT INTO _sync_log (tbl, key, kind, image)
  VALUES (1, OLD."group", 4 * (NEW."group" COLLATE BINARY IS NOT OLD."group"),
    /* image */ CASE WHEN NOT EXISTS (SELECT 1 FROM _sync_pending WHERE tbl = 1 AND key = OLD."group") OR EXISTS (SELECT 1 FROM _sync_sent WHERE tbl = 1 AND key = OLD."group") THEN json_object('group', quote(OLD."group"), 'it''s "quoted" here', quote(OLD."it's ""quoted"" here"), 'größe', quote(OLD."Größe"), 'where', quote(OLD."where"), 'a%b', quote(OLD."a%b")) END /* end of image */);
  INSERT INTO _sync_log (tbl, key)
  SELECT 1, NEW."group" WHERE NEW."group" COLLATE BINARY IS NOT OLD."group";
END;
