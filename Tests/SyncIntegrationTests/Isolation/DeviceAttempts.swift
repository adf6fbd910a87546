import Postgres

@testable import Sidecar

extension StatementAttempt {
    /// What administrators do with devices.
    static let deviceAdministration = [
        StatementAttempt(DeviceAdministration.begin, .nobodysRows),
        StatementAttempt(DeviceAdministration.commit, .nobodysRows),
        StatementAttempt(DeviceAdministration.List.statement, .administrators) { bindings, _ in
            for text in [Stranger.user, nil, "", ""] { bindings.bind(text) }
            bindings.bind(Int64(100))
        },
        StatementAttempt(DeviceAdministration.revoke, .administrators, bindAccess),
        StatementAttempt(DeviceAdministration.restore, .administrators, bindAccess),
        StatementAttempt(DeviceAdministration.ReadUser.statement, .administrators) { bindings, _ in
            bindings.bind(Stranger.user)
            bindings.bind(DeviceAdministration.ReadUser.maximumRows)
        },
        StatementAttempt(DeviceAdministration.ReadQuotas.statement, .nobodysRows),
        StatementAttempt(DeviceReports.write, .user("s.user_id = n.user_id")) { bindings, _ in
            let row = #"{"user_id":"\#(Stranger.user)","device":"\#(Stranger.victimsDevice)","#
            bindings.bind("[\(row)\"report\":{\"cursor\":0}}]")
        },
        StatementAttempt(RowHistory.Read.statement, .administrators) { bindings, stranger in
            let row = stranger.victimsRows.first
            bindings.bind(Stranger.user)
            bindings.bind(row?.table)
            bindings.bind(bytes: row?.key)
            bindings.bind(Int64(10))
        },
        StatementAttempt(DeviceReports.ReadFacts.statement, .administrators) { bindings, _ in
            for text in [Stranger.user, Stranger.victimsDevice] { bindings.bind(text) }
            bindings.bind(DeviceReports.ReadFacts.maximumWaiting)
        },
    ]

    private static func bindAccess(_ bindings: inout Bindings, _ stranger: Stranger) {
        for text in [Stranger.user, "unknown"] { bindings.bind(text) }
    }
}
