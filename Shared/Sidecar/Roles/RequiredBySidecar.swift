import Postgres

extension ServiceRole {
    /// ``sidecarPrivileges`` as the readiness probe asks for them: one entry an object, in the order of the list.
    ///
    /// The right to connect is left out, because the session that asks has connected.
    package var requiredPrivileges: [RequiredPrivileges] {
        var required: [RequiredPrivileges] = []
        for privilege in sidecarPrivileges {
            guard let next = RequiredPrivileges(privilege) else { continue }
            if let index = required.firstIndex(where: { $0.object == next.object }) {
                required[index].privileges += next.privileges
            } else {
                required.append(next)
            }
        }
        return required
    }
}

extension RequiredPrivileges {
    /// Nil for a right on the database itself. Names of ours need no quotes.
    fileprivate init?(_ privilege: Sidecar.Privilege) {
        guard let right = Privilege(rawValue: privilege.right) else { return nil }
        switch privilege.kind {
        case .database: return nil
        case .schema: self.init(schema: privilege.object)
        case .table: self.init(table: privilege.object, [right])
        case .sequence: self.init(sequence: privilege.object, [right])
        case .function:
            self.init(function: String(privilege.object.prefix { $0 != "(" }))
        }
    }
}
