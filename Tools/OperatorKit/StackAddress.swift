import Foundation

/// How to reach a running private stack. `oversync-dev dev` keeps it in a file for other commands.
package struct StackAddress: Codable, Sendable {
    package let gateway: String
    /// Path of the certificate authority's certificate.
    package let authority: String
    package let database: String
    /// Directory of the services' sockets.
    package let sockets: String
    package let hs256SecretFile: String
    /// The process that supervises the services.
    package let processID: Int32

    package init(
        gateway: String, authority: String, database: String, sockets: String,
        hs256SecretFile: String, processID: Int32
    ) {
        self.gateway = gateway
        self.authority = authority
        self.database = database
        self.sockets = sockets
        self.hs256SecretFile = hs256SecretFile
        self.processID = processID
    }

    /// The stack that runs in a directory, if one does.
    package static func running(in directory: StackDirectory) -> StackAddress? {
        guard let data = FileManager.default.contents(atPath: directory.description),
            let address = try? JSONDecoder().decode(StackAddress.self, from: data),
            kill(address.processID, 0) == 0
        else { return nil }
        return address
    }
}
