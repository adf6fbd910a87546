/// PostgreSQL's text of a timestamptz in a UTC session (`2026-01-31 12:00:00.123+00`) as RFC 3339.
package func timestampFromPostgres(_ text: String) -> String {
    let date = text.prefix(10)
    let time = text.dropFirst(11)
    return "\(date)T\(time.hasSuffix("+00") ? time.dropLast(3) + "Z" : time)"
}
