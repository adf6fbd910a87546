import Postgres
import Sidecar

@testable import UploadService

extension StatementAttempt {
    /// Statements about devices that headers name.
    static let devices = [
        StatementAttempt(DeviceStatements.lockDevice, .nobodysRows) { bindings, _ in
            bindings.bind(Stranger.victimsDevice)
        },
        StatementAttempt(UserScope.lock, .user("user_id = $1")) { bindings, _ in
            bindings.bind(Stranger.user)
        },
        StatementAttempt(DeviceStatements.claim, .user("user_id = $1")) { bindings, _ in
            bindings.bind(Stranger.user)
            bindings.bind(Stranger.victimsDevice)
            for _ in 0..<2 { bindings.bind(Int64(1000)) }
        },
        StatementAttempt(
            DeviceStatements.ReadDeviceUse.statement, .user("user_id = $1")
        ) { bindings, _ in
            bindings.bind(Stranger.user)
            bindings.bind(Stranger.victimsDevice)
        },
    ]
}
