/// The settings of a session that change how PostgreSQL writes and reads values as text, and what
/// Oversync sets them to.
///
/// JSON has dates and times in ISO form whatever a session is set to, but not what stands inside of
/// a range, a composite type or an array of bytes, and neither intervals nor money. Code that
/// renders or compares values sets these itself: the session, its role or the database may have
/// any others.
package enum RenderingSettings {
    package static let all: [(name: String, value: String)] = [
        ("TimeZone", "UTC"), ("DateStyle", "ISO, MDY"), ("IntervalStyle", "postgres"),
        ("bytea_output", "hex"), ("extra_float_digits", "1"), ("lc_monetary", "C"),
        ("standard_conforming_strings", "on"), ("row_security", "off"),
    ]

    /// Those that change how values are read alone: what is compared with payloads needs them, too.
    static let reading: [(name: String, value: String)] = [
        ("array_nulls", "on"), ("xmloption", "content"),
    ]

    /// As the clauses of a function, which come back to what they were when it ends: a line each.
    static let clauses = all.map { "SET \($0.name) = '\($0.value)'" }.joined(separator: "\n")

    /// As statements that hold for the rest of a transaction. PostgreSQL's own names go first in
    /// the search path; the rest of it stays, as functions that a domain's checks call may need it.
    static let local =
        ((all + reading).map { "SET LOCAL \($0.name) = '\($0.value)'" } + [
            """
            SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog',
                nullif(pg_catalog.current_setting('search_path'), '')), true)
            """
        ]).joined(separator: "; ")

    /// As the items of a SELECT, which hold for the rest of a transaction. What decides who sees
    /// which row, and how SQL is read, stays as the session has it.
    package static let assignments = all.filter {
        $0.name != "row_security" && $0.name != "standard_conforming_strings"
    }.map { "set_config(\(literal($0.name)), \(literal($0.value)), true)" }
        .joined(separator: ", ")
}
