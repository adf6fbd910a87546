import Crypto

/// The tables whose rows a caller gets, as server and device name them to each other: those that
/// are no longer registered included, for their log stays.
package struct ReadableTables: Hashable, Sendable {
    /// What a device says that has not been told of any yet.
    package static let unknown = "unknown"
    /// Bytes of the hash that make the fingerprint.
    private static let fingerprintBytes = 8

    /// `schema.table`, in the order of their bytes.
    package let names: [String]
    /// 16 hexadecimal digits: the same on every replica and after every restart for the same
    /// tables, and others for any other ones.
    package let fingerprint: String

    /// - Parameter names: in the order of their bytes.
    fileprivate init(sorted names: [String]) {
        self.names = names
        var hash = SHA256()
        for name in names {
            var line = name + "\n"
            line.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        }
        fingerprint = hash.finalize().prefix(Self.fingerprintBytes).map { byte in
            let digits = String(byte, radix: 16)
            return digits.utf8.count == 1 ? "0" + digits : digits
        }.joined()
    }
}

/// The tables of a catalog in the order in which a fingerprint takes their names.
struct NamedAccess: Sendable {
    private let entries: [(name: String, table: RegisteredTable)]
    private let everything: ReadableTables

    init(_ tables: [RegisteredTable]) {
        // Names are letters, digits and _: their characters sort as their bytes do.
        entries = tables.map { ("\($0.name)", $0) }.sorted { $0.name < $1.name }
        everything = ReadableTables(sorted: entries.map(\.name))
    }

    func readable(to caller: Caller) -> ReadableTables {
        let names = entries.filter { $0.table.isReadable(by: caller) }.map(\.name)
        // Most callers read all there is, and cost no hash.
        return names.count == entries.count ? everything : ReadableTables(sorted: names)
    }
}
