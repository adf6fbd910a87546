#if os(Linux)
    import Foundation
    import Glibc
    import GRDB
    import OverSQLiteTestSupport
    import Testing

    @testable import OverSQLite

    /// A file system in memory, of a fixed size.
    private struct SmallDisk {
        static let canBeMounted: Bool = {
            guard geteuid() == 0, let disk = try? SmallDisk() else { return false }
            disk.remove()
            return true
        }()

        private static let bytes = 4 << 20
        let path: String

        struct NotMounted: Error {}

        init() throws {
            path = NSTemporaryDirectory() + "oversqlite-disk-\(UUID().uuidString)"
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
            guard mount("tmpfs", path, "tmpfs", 0, "size=\(Self.bytes)") == 0 else {
                try? FileManager.default.removeItem(atPath: path)
                throw NotMounted()
            }
        }

        private var ballast: String { path + "/ballast" }

        /// Takes the rest of the space.
        func fill() throws {
            let file = open(ballast, O_CREAT | O_WRONLY | O_APPEND, 0o600)
            defer { close(file) }
            for size in [64 << 10, 4 << 10, 512, 1] {
                let bytes = [UInt8](repeating: 0, count: size)
                while write(file, bytes, size) == size {}
            }
        }

        func free() throws { try FileManager.default.removeItem(atPath: ballast) }

        func remove() {
            umount2(path, Int32(MNT_DETACH))
            try? FileManager.default.removeItem(atPath: path)
        }
    }

    /// A file system that is full, as the system reports it. As root only: it is mounted.
    @Suite(.timeLimit(.minutes(1)), .enabled(if: SmallDisk.canBeMounted))
    struct FullDiskTests {
        private static let wide = String(repeating: "wide ", count: 50_000)

        private static func engine(
            _ database: any DatabaseWriter, _ gateway: InMemoryGateway
        ) throws -> SyncEngine {
            let url = try #require(URL(string: "https://gateway.test"))
            var configuration = SyncConfiguration(gateway: url, schema: "business")
            configuration.transport = gateway
            configuration.clock = ManualClock()
            return try SyncEngine(
                for: database, tables: [SyncTable("users"), SyncTable("posts")],
                configuration: configuration,
                credentials: { InMemoryGateway.token(user: "user", device: "one") })
        }

        /// Calls `body` with a database on a disk of its own, in WAL mode or not.
        private static func withDisk(
            _ journal: String,
            _ body: (SmallDisk, any DatabaseWriter, InMemoryGateway) async throws -> Void
        ) async throws {
            let disk = try SmallDisk()
            defer { disk.remove() }
            let path = disk.path + "/app.db"
            let database: any DatabaseWriter =
                journal == "wal" ? try DatabasePool(path: path) : try DatabaseQueue(path: path)
            try await database.write { try $0.execute(sql: postsAndUsers) }
            try await body(disk, database, InMemoryGateway())
            try database.close()
        }

        private static func names(_ database: any DatabaseWriter) async throws -> [String] {
            try await database.read {
                try String.fetchAll($0, sql: "SELECT substr(name, 1, 5) FROM users ORDER BY id")
            }
        }

        @Test(
            "A page that has no room is an error of its own, loses nothing, and comes later",
            arguments: ["wal", "delete"])
        func full(journal: String) async throws {
            try await Self.withDisk(journal) { disk, database, gateway in
                let engine = try Self.engine(database, gateway)
                try await engine.syncChanges()
                try await database.write {
                    try $0.execute(
                        sql: "INSERT INTO users (id, name) VALUES ('\(key(1))', 'mine')")
                }
                gateway.write(
                    "users", key(2), #"{"id":"\#(key(2))","name":"\#(Self.wide)"}"#)
                try disk.fill()
                let error = await #expect(throws: SyncError.self) {
                    try await engine.syncChanges()
                }
                #expect(error == .diskFull)
                #expect(engine.status.lastError == .diskFull)
                #expect(error?.retriesByItself == true)
                // The app learns it from its own statement.
                await #expect(throws: DatabaseError.self) {
                    try await database.write {
                        try $0.execute(
                            sql: "INSERT INTO users (id, name) VALUES ('\(key(3))', ?)",
                            arguments: [Self.wide])
                    }
                }
                try disk.free()
                try await engine.syncChanges()
                #expect(try await Self.names(database) == ["mine", "wide "])
                #expect(gateway.rows("users").count == 2)
                #expect(gateway.logCount() == 2)
            }
        }

        @Test(
            "An answer that has no room is asked for again, and nothing takes effect twice",
            arguments: ["wal", "delete"])
        func answer(journal: String) async throws {
            try await Self.withDisk(journal) { disk, database, gateway in
                let engine = try Self.engine(database, gateway)
                try await engine.syncChanges()
                try await database.write { db in
                    for number in 1...200 {
                        try db.execute(
                            sql: "INSERT INTO users (id, name) VALUES ('\(key(number))', 'mine')")
                    }
                }
                gateway.next(.upload, .holdAnswer { try disk.fill() })
                let error = await #expect(throws: SyncError.self) {
                    try await engine.sendChanges()
                }
                #expect(error == .diskFull)
                try disk.free()
                try await engine.syncChanges()
                #expect(gateway.logCount() == 200)
                #expect(engine.status.pendingCount == 0)
            }
        }

        @Test(
            "A first start without room fails, and the next one does not",
            arguments: ["wal", "delete"])
        func start(journal: String) async throws {
            try await Self.withDisk(journal) { disk, database, gateway in
                try await database.write {
                    try $0.execute(
                        sql: "INSERT INTO users (id, name) VALUES ('\(key(1))', 'mine')")
                }
                try disk.fill()
                let error = #expect(throws: (any Error).self) {
                    _ = try Self.engine(database, gateway)
                }
                #expect(
                    (error as? DatabaseError)?.resultCode == .SQLITE_FULL,
                    "\(String(describing: error))")
                try disk.free()
                let engine = try Self.engine(database, gateway)
                try await engine.syncChanges()
                #expect(gateway.rows("users").count == 1)
            }
        }
    }
#endif
