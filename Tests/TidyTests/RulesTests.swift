import Testing

/// Rules decide from values: they know no SQL, no locks, no I/O and no time.
@Suite("Rules")
struct RulesTests {
    /// Folders of rules alone, each with what its rules use for values: the device's hold SQLite's
    /// values, and a status shows times.
    private static let folders: [String: Set<Substring>] = [
        "Client/OverSQLite/Rules": ["GRDB", "Date"], "Services/Upload/Rules": [],
    ]

    /// Modules that rules have no use for. `Postgres` is allowed for its values: `SQLState` and the
    /// numbers of types.
    private static let foreignModules: Set = [
        "DatabaseKit", "Dispatch", "GRDB", "Glibc", "Logging", "NIOCore", "NIOPosix", "RPC",
        "ServiceKit", "ServiceLifecycle", "Synchronization",
    ]

    /// Names of what runs statements or reads their answers, of locks, of what waits, and of clocks
    /// and chance.
    private static let foreignNames: Set<Substring> = [
        "ArrayBinding", "Bindings", "Command", "Database", "DatabaseReader", "DatabaseWriter",
        "PostgresConnection", "PostgresPool", "PostgresResult", "RawStatement", "Row", "Statement",
        "Atomic", "Mutex", "NSLock", "actor", "async", "await", "Task", "ContinuousClock", "Date",
        "SuspendingClock", "SystemRandomNumberGenerator", "random", "FileHandle", "FileManager",
        "ProcessInfo", "URL", "quoted", "quotedName",
    ]

    /// How SQL begins or goes on, in capitals as this repository writes it.
    private static let sql = [
        "SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE ", " FROM ", " WHERE ",
        " VALUES ", "SAVEPOINT ", "sql: ",
    ]

    @Test func `rules know neither SQL nor locks nor time`() throws {
        var found: [String: [String]] = [:]
        for (folder, values) in Self.folders {
            let files = SourceTree.swift(below: folder)
            #expect(!files.isEmpty, "\(folder) has no files")
            for file in files {
                let breaches = Self.breaches(in: file, values: values)
                if !breaches.isEmpty { found[file.path] = breaches }
            }
        }
        try Ratchet(name: "rules", advice: "Decide in a value, act in a shell.").check(found)
    }

    @Test(
        "SQL, a lock, a wait and a module of either are found",
        arguments: [
            #"let text = "SELECT 1""#, #"let text = "  WHERE id = $1""#, "let kept = Mutex(0)",
            "func read() async {}", "let now = ContinuousClock.now", "import Synchronization",
            "let name = quoted(column)",
        ])
    func finds(line: String) {
        #expect(!Self.breaches(in: SourceFile(path: "Rule.swift", text: line)).isEmpty)
    }

    @Test(
        "Words of comments and longer names are not taken for it",
        arguments: [
            "// A Mutex would SELECT FROM nothing.", "let isUpToDate = RowCycles()",
            "import Postgres",
        ])
    func passes(line: String) {
        #expect(Self.breaches(in: SourceFile(path: "Rule.swift", text: line)).isEmpty)
    }

    private static func breaches(
        in file: SourceFile, values: Set<Substring> = []
    ) -> [String] {
        let foreignNames = foreignNames.subtracting(values)
        var breaches = Set(ImportTests.imports(in: file.code)).intersection(foreignModules)
            .filter { !values.contains(Substring($0)) }.sorted().map { "imports \($0)" }
        for (index, (line, code)) in zip(file.lines, file.codeLines).enumerated() {
            let words = code.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
            breaches += words.filter(foreignNames.contains).map { "\(index + 1): \($0)" }
            // Of strings, which `code` leaves out, but not of comments.
            let isComment = line.drop { $0 == " " }.hasPrefix("//")
            if !isComment, sql.contains(where: { line.contains($0) }) {
                breaches.append("\(index + 1): SQL")
            }
        }
        return breaches
    }
}
