import Foundation
import OperatorKit

/// Whose notes, on which device, and where the file is.
package struct NotesOptions: Sendable {
    /// The device's name on the server.
    package var device: String
    /// The user on the server: all devices of one user have the same notes.
    package var user = "ada"
    /// Where the development stack runs that the notebook syncs with.
    package var stack: StackDirectory
    /// The SQLite file; nil: one for each user and device, in the stack's folder.
    package var file: String?
    /// Whether to begin without talking to the server.
    package var isOffline = false

    package init(device: String, stack: StackDirectory) {
        self.device = device
        self.stack = stack
    }

    var path: String { file ?? "\(stack.root)/notes/\(user)-\(device).sqlite" }

    /// Where the stack is now.
    ///
    /// - Throws: `StackError` if none runs.
    @Sendable func address() throws -> StackAddress {
        guard let address = StackAddress.running(in: stack) else {
            throw StackError("no server runs in \(stack.root); `make run` starts one")
        }
        return address
    }
}
