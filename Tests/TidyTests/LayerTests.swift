import Testing

/// What the device's code may know of each other, and which file writes which table.
@Suite("Layers")
struct LayerTests {
    /// Folders of `Client/OverSQLite`, each with those that its files may name types of.
    private static let layers: [String: Set<String>] = [
        "Public": ["Exchange", "Store", "Wire", "Rules", "Primitives"],
        "Exchange": ["Store", "Wire", "Rules", "Primitives"],
        "Store": ["Rules", "Primitives"],
        "Wire": ["Rules", "Primitives"],
        "Rules": ["Primitives"],
        "Primitives": [],
    ]
    private static let module = "Client/OverSQLite"

    /// The layer of a file; nil if its folder is none.
    private static func layer(of file: SourceFile) -> String? {
        let folder = file.path.dropFirst(module.count + 1).prefix { $0 != "/" }
        return layers[String(folder)] == nil ? nil : String(folder)
    }

    @Test("files name types of lower layers alone")
    func layers() throws {
        let files = SourceTree.swift(below: Self.module)
        // A name that several files declare, as `Action`, is nested, and looked for by what holds
        // it.
        var places: [Substring: Set<String>] = [:]
        for file in files {
            for name in Self.declarations(in: file.code) {
                places[name, default: []].insert(Self.layer(of: file) ?? file.path)
            }
        }
        var found: [String: [String]] = [:]
        for file in files {
            guard let own = Self.layer(of: file), let allowed = Self.layers[own] else {
                found[file.path] = ["is in no layer's folder"]
                continue
            }
            for (index, line) in file.codeLines.enumerated() {
                for name in Self.names(in: line) {
                    guard let layers = places[name], layers.count == 1, let layer = layers.first,
                        layer != own, !allowed.contains(layer)
                    else { continue }
                    found[file.path, default: []].append("\(index + 1): \(name) of \(layer)")
                }
            }
        }
        try Ratchet(name: "layers", advice: "See Docs/device.md, “Layers”.").check(found)
    }

    /// Each of the device's own tables and the one file that writes it. `MetadataTables.swift`
    /// makes and upgrades them.
    private static let owners = [
        "_sync_absent": "AbsentTables.swift", "_sync_applying": "ApplyMode.swift",
        "_sync_key_leases": "KeyRanges.swift", "_sync_key_ranges": "KeyRanges.swift",
        "_sync_conflicts": "ConflictBook.swift", "_sync_extra": "SetAsideColumns.swift",
        "_sync_held": "HeldRows.swift", "_sync_log": "TouchLog.swift",
        "_sync_pending": "PendingQueue.swift", "_sync_rows": "KnownRows.swift",
        "_sync_sent": "SentChanges.swift", "_sync_state": "DeviceStateTable.swift",
        "_sync_tables": "SyncedTables.swift", "_sync_unseen": "UnseenRows.swift",
        "_sync_lost": "LostVersions.swift",
    ]

    /// They make the tables, or make them anew after damage.
    private static let makers = ["/MetadataTables.swift", "/MetadataRepair.swift"]

    @Test("each table of the device is written by one file")
    func tableOwners() throws {
        var found: [String: [String]] = [:]
        for file in SourceTree.swift(below: Self.module)
        where !Self.makers.contains(where: file.path.hasSuffix) {
            for (index, line) in file.lines.enumerated() {
                for table in Self.tables(writtenIn: line) {
                    if let owner = Self.owners[table], file.path.hasSuffix("/" + owner) { continue }
                    found[file.path, default: []].append("\(index + 1): \(table)")
                }
            }
        }
        try Ratchet(name: "table-owners", advice: "Ask the table's owner.").check(found)
    }

    /// The metadata tables that a line's SQL writes.
    static func tables(writtenIn line: Substring) -> [String] {
        var tables: [String] = []
        for verb in ["INTO _sync_", "UPDATE _sync_", "DELETE FROM _sync_"] {
            var rest = line
            while let range = rest.firstRange(of: verb) {
                rest = rest[range.upperBound...]
                tables.append("_sync_" + rest.prefix { $0.isLetter || $0 == "_" })
            }
        }
        return tables
    }

    private static let keywords: Set<Substring> = [
        "struct", "class", "enum", "protocol", "actor", "typealias",
    ]

    /// Names of the types that code declares.
    static func declarations(in code: String) -> [Substring] {
        let words = code.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
        return zip(words, words.dropFirst()).filter { keywords.contains($0.0) }.map(\.1).filter {
            $0.first?.isUppercase == true
        }
    }

    /// Capitalised words that are not members of anything.
    static func names(in line: Substring) -> [Substring] {
        var names: [Substring] = []
        var rest = line
        var before: Character = " "
        while let first = rest.first {
            if first.isLetter || first == "_" {
                let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
                if first.isUppercase, before != "." { names.append(word) }
                rest = rest[word.endIndex...]
                before = "a"
            } else {
                before = first
                rest = rest.dropFirst()
            }
        }
        return names
    }
}
