import Foundation
import OperatorKit

/// Who works on what, and where it is kept.
package struct NotesOptions: Sendable {
    /// The person: the device's name on the server.
    package var person: String
    /// The notebook: the user on the server, shared by all who open it.
    package var notebook = "home"
    /// Where the development stack runs that the notebook syncs with.
    package var stack: StackDirectory
    /// The SQLite file; nil: one for each person and notebook, beside the stack's.
    package var file: String?
    /// Whether to begin without talking to the server.
    package var isOffline = false

    package init(person: String, stack: StackDirectory) {
        self.person = person
        self.stack = stack
    }

    var path: String { file ?? "\(stack.root)/notes/\(notebook)-\(person).sqlite" }

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
