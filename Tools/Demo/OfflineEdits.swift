import Foundation
import GRDB

/// What the people at the two devices do while neither has a network. Each device does its half.
enum OfflineEdits {
    /// - Parameter run: a number that differs from run to run, so that every run has something to sync.
    static func onFirst(_ db: Database, run: Int) throws {
        // The other device edits the same row in another column: both survive.
        try set(db, "countries", "note", "first \(run)", where: "alpha_2 = 'FR'")
        // The other device edits the same column: one prevails, and the report says so.
        try set(db, "countries", "note", "first \(run)", where: "alpha_2 = 'DE'")
        // Deleted here, edited there.
        try db.execute(sql: "DELETE FROM languages WHERE alpha_3 = 'tlh'")
        // Deleted on both.
        try db.execute(sql: "DELETE FROM languages WHERE alpha_3 = 'zxx'")
        // Deleted and created again before the server ever heard of it.
        try recreateCurrency(db, "EUR", note: "made anew \(run)")
        // Many rows at once.
        try set(db, "languages", "note", "reviewed \(run)", where: "scope = 'M'")
        // A row that lives and dies unseen.
        try db.execute(
            sql:
                "INSERT INTO currencies (code, name, digits) VALUES ('XX1', 'Nobody''s money', '0')"
        )
        try db.execute(sql: "DELETE FROM currencies WHERE code = 'XX1'")
        // A self-reference moves.
        try db.execute(
            sql: """
                UPDATE subdivisions SET note = ?, parent_id = (SELECT id FROM subdivisions WHERE code = 'GB-ENG')
                WHERE code = 'GB-LND'
                """, arguments: ["moved \(run)"])
    }

    static func onSecond(_ db: Database, run: Int) throws {
        try set(
            db, "countries", "official_name", "République française (\(run))",
            where: "alpha_2 = 'FR'")
        try set(db, "countries", "note", "second \(run)", where: "alpha_2 = 'DE'")
        try set(db, "languages", "note", "second \(run)", where: "alpha_3 = 'tlh'")
        try db.execute(sql: "DELETE FROM languages WHERE alpha_3 = 'zxx'")
        try set(db, "currencies", "note", "second \(run)", where: "code = 'EUR'")
        // A parent and its child, made offline together.
        let country = UUID().uuidString
        try db.execute(
            sql: """
                INSERT INTO countries (id, alpha_2, alpha_3, digits, name) VALUES (?, ?, ?, '999', 'Offline Island')
                """, arguments: [country, "X\(run)", "XX\(run)"])
        try db.execute(
            sql:
                "INSERT INTO subdivisions (id, code, name, kind, country_id) VALUES (?, ?, 'Harbour', 'Town', ?)",
            arguments: [UUID().data, "X\(run)-01", country])
    }

    private static func set(
        _ db: Database, _ table: String, _ column: String, _ value: String, where condition: String
    ) throws {
        try db.execute(
            sql: "UPDATE \(table) SET \(column) = ? WHERE \(condition)", arguments: [value])
    }

    private static func recreateCurrency(_ db: Database, _ code: String, note: String) throws {
        guard
            let row = try Row.fetchOne(
                db, sql: "SELECT name, digits FROM currencies WHERE code = ?", arguments: [code])
        else { return }
        let name: String = row[0]
        let digits: String = row[1]
        try db.execute(sql: "DELETE FROM currencies WHERE code = ?", arguments: [code])
        try db.execute(
            sql: "INSERT INTO currencies (code, name, digits, note) VALUES (?, ?, ?, ?)",
            arguments: [code, name, digits, note])
    }
}
