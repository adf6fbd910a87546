import Postgres

@testable import Sidecar

extension StatementAttempt {
    /// What administrators do with devices.
    static let devices = [
        StatementAttempt(DeviceStatements.begin, .nobodysRows),
        StatementAttempt(DeviceStatements.commit, .nobodysRows),
        StatementAttempt(DeviceStatements.createScope, .administrators) { bindings, _ in
            bindings.bind(Stranger.user)
        },
        StatementAttempt(DeviceStatements.lockScope, .administrators) { bindings, _ in
            bindings.bind(Stranger.user)
        },
        StatementAttempt(DeviceStatements.List.statement, .administrators) { bindings, _ in
            for text in [Stranger.user, nil, "", ""] { bindings.bind(text) }
            bindings.bind(Int64(100))
        },
        StatementAttempt(DeviceStatements.revoke, .administrators, bindAccess),
        StatementAttempt(DeviceStatements.restore, .administrators, bindAccess),
        StatementAttempt(DeviceStatements.ReadUser.statement, .administrators) { bindings, _ in
            bindings.bind(Stranger.user)
        },
    ]

    private static func bindAccess(_ bindings: inout Bindings, _ stranger: Stranger) {
        for text in [Stranger.user, "unknown", "bob"] { bindings.bind(text) }
    }
}
