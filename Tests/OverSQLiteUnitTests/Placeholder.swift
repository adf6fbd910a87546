import OverSQLite
