/// PostgreSQL's text of a timestamp in UTC (`2026-01-31 12:00:00.123`) as RFC 3339.
package func timestampFromPostgres(_ text: String) -> String {
    "\(text.prefix(10))T\(text.dropFirst(11))Z"
}
