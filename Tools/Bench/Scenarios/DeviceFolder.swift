import Foundation
import GRDB
import OperatorKit
import OverSQLite

/// Devices' files of one scenario, removed at its end.
struct DeviceFolder: Sendable {
    let path: String

    init(_ bench: Bench, _ name: String) throws {
        path = bench.directory.root + "/" + name
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }

    /// A file with the device's table and nothing else.
    func file(_ name: String) throws -> String {
        let file = "\(path)/\(name).sqlite"
        try BareSQLite(file).execute(BareSQLite.schema)
        return file
    }

    /// An engine on such a file.
    func engine(_ file: String, token: String, _ feed: CannedFeed, pageRows: Int) throws
        -> SyncEngine
    {
        guard let url = URL(string: "https://feed.invalid") else { throw StackError("no URL") }
        var configuration = SyncConfiguration(gateway: url, schema: "business")
        configuration.transport = feed
        configuration.pageLimit = pageRows
        return try SyncEngine(
            for: DatabasePool(path: file), tables: [.init("posts")], configuration: configuration,
            credentials: { token })
    }
}
