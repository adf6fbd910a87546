import Foundation
import GRDB
import SeededRandom

/// The edits of one transaction of a device's app, by chance.
struct Edits: Sendable {
    struct Statement: Sendable {
        let sql: String
        let arguments: StatementArguments
    }

    let device: String
    /// The keys of the rows that all devices of the user edit.
    let shared: [String]
    /// The device's own rows, and what they will be.
    private(set) var own: [String: String]
    private(set) var random: SeededGenerator
    private(set) var statements: [Statement] = []
    /// Rows of its own beyond which it does not insert.
    private let most: Int

    init(
        device: String, shared: [String], own: [String: String], random: SeededGenerator, most: Int
    ) {
        self.device = device
        self.shared = shared
        self.own = own
        self.random = random
        self.most = most
    }

    mutating func add() {
        let choice = Int.random(in: 0..<10, using: &random)
        let users = keys(of: "users")
        switch choice {
        case 0, 1,
            2 where own.count < most:
            insertUser()
        case 3,
            4 where own.count < most && !users.isEmpty:
            insertPost(of: users)
        case 5: editShared()
        case 6, 7: edit()
        default: delete()
        }
    }

    private mutating func insertUser() {
        let (key, name) = (newKey(), text())
        run("INSERT INTO users (id, name) VALUES (?, ?)", [key, name])
        own["users \(key)"] = name
    }

    private mutating func insertPost(of users: [String]) {
        guard let author = users.randomElement(using: &random) else { return }
        let (key, title) = (newKey(), text())
        run(
            "INSERT INTO posts (id, author_id, title) VALUES (?, ?, ?)", [key, author, title])
        own["posts \(key)"] = "\(author) \(title)"
    }

    /// A row that everybody edits: no matter who prevails, all must have the same in the end.
    private mutating func editShared() {
        guard let key = shared.randomElement(using: &random) else { return }
        run("UPDATE users SET name = ? WHERE id = ?", [text(), key])
    }

    private mutating func edit() {
        guard let row = own.keys.sorted().randomElement(using: &random) else { return }
        let (key, text) = (Self.key(row), text())
        if row.hasPrefix("users ") {
            run("UPDATE users SET name = ? WHERE id = ?", [text, key])
            own[row] = text
        } else {
            run("UPDATE posts SET title = ? WHERE id = ?", [text, key])
            own[row] = "\(own[row]?.prefix { $0 != " " } ?? "") \(text)"
        }
    }

    /// Deletes a row; a user with its posts.
    private mutating func delete() {
        guard let row = own.keys.sorted().randomElement(using: &random) else { return }
        let key = Self.key(row)
        if row.hasPrefix("posts ") {
            run("DELETE FROM posts WHERE id = ?", [key])
        } else {
            run("DELETE FROM posts WHERE author_id = ?", [key])
            run("DELETE FROM users WHERE id = ?", [key])
            own = own.filter { !$0.key.hasPrefix("posts ") || !$0.value.hasPrefix(key) }
        }
        own[row] = nil
    }

    private mutating func run(_ sql: String, _ arguments: StatementArguments) {
        statements.append(Statement(sql: sql, arguments: arguments))
    }

    private func keys(of table: String) -> [String] {
        own.keys.filter { $0.hasPrefix(table + " ") }.map(Self.key).sorted()
    }

    private static func key(_ row: String) -> String {
        String(row.drop { $0 != " " }.dropFirst())
    }

    private mutating func newKey() -> String {
        withUnsafeBytes(of: (random.next(), random.next())) {
            UUID(uuid: $0.loadUnaligned(as: uuid_t.self)).uuidString.lowercased()
        }
    }

    private mutating func text() -> String {
        "\(device) \(String(random.next(), radix: 36))"
    }
}
