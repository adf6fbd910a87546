/// What the server's answers say of the tables that the user may read on this device: the same text
/// for the same tables.
///
/// A page is applied only where its fingerprint is the device's own. So whatever the device has
/// read up to its cursor, it has read of all these tables and of no other.
struct TablesFingerprint: Hashable, Sendable {
    /// What is sent while the device knows none.
    static let unknown = "unknown"
    private static let digits = 16

    let text: String

    /// Nil for anything but 16 hexadecimal digits.
    init?(text: String) {
        guard text.utf8.count == Self.digits,
            text.utf8.allSatisfy({ 0x30...0x39 ~= $0 || 0x61...0x66 ~= $0 })
        else { return nil }
        self.text = text
    }
}

/// What has changed about the tables that the user may read.
///
/// A table that is closed has its rows removed from this device, except those with edits that the
/// server has not taken. These stay, and are listed as rejected changes. A table that is opened is
/// read from the server.
public struct AccessReport: Sendable, Hashable {
    /// The tables that the user may read from now on, by their names in SQLite.
    public let opened: [String]
    /// The tables that the user may not read any more.
    public let closed: [String]
    /// The number of rows removed from this device.
    public let removedRows: Int

    /// Whether there is anything to tell.
    var isNews: Bool { !opened.isEmpty || !closed.isEmpty || removedRows > 0 }
}
