import Postgres

@testable import Sidecar

extension StatementAttempt {
    /// What administrators do with devices.
    static let deviceAdministration = [
        StatementAttempt(DeviceAdministration.begin, .nobodysRows),
        StatementAttempt(DeviceAdministration.commit, .nobodysRows),
        StatementAttempt(DeviceAdministration.createScope, .administrators) { bindings, _ in
            bindings.bind(Stranger.user)
        },
        StatementAttempt(DeviceAdministration.lockScope, .administrators) { bindings, _ in
            bindings.bind(Stranger.user)
        },
        StatementAttempt(DeviceAdministration.List.statement, .administrators) { bindings, _ in
            for text in [Stranger.user, nil, "", ""] { bindings.bind(text) }
            bindings.bind(Int64(100))
        },
        StatementAttempt(DeviceAdministration.revoke, .administrators, bindAccess),
        StatementAttempt(DeviceAdministration.restore, .administrators, bindAccess),
        StatementAttempt(DeviceAdministration.ReadUser.statement, .administrators) { bindings, _ in
            bindings.bind(Stranger.user)
        },
    ]

    private static func bindAccess(_ bindings: inout Bindings, _ stranger: Stranger) {
        for text in [Stranger.user, "unknown"] { bindings.bind(text) }
    }
}
