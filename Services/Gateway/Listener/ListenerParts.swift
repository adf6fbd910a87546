import HTTPTypes
import HummingbirdCore
import Logging
import ServiceKit

/// What the listeners of a gateway are made of.
struct ListenerParts {
    /// Longest silence on a connection without a request.
    private static let idleTimeout: Duration = .seconds(180)

    let settings: GatewaySettings
    let identity: TLSIdentity
    let limits: GatewayLimits
    let logger: Logger

    /// - Parameter listening: receives the port once connections are accepted.
    func devices(
        _ responder: GatewayResponder, _ drain: Drain,
        _ listening: @escaping @Sendable (Int) -> Void
    ) -> Listener {
        Listener(
            listener(.devices, responder, settings.host, settings.port, drain, listening),
            host: (GatewaySettings.hostSetting, settings.host),
            port: (GatewaySettings.portSetting, settings.port))
    }

    /// - Returns: none where administrators have no port of their own.
    func administrators(
        _ responder: GatewayResponder, _ drain: Drain,
        _ listening: @escaping @Sendable (Int) -> Void
    ) -> [Listener] {
        let door = settings.adminDoor
        guard let port = door.port else { return [] }
        return [
            Listener(
                listener(.administrators, responder, door.host, port, drain, listening),
                host: (AdminDoor.hostSetting, door.host), port: (AdminDoor.portSetting, port))
        ]
    }

    private func listener(
        _ door: TLSIdentity.Door, _ responder: GatewayResponder, _ host: String, _ port: Int,
        _ drain: Drain,
        _ listening: @escaping @Sendable (Int) -> Void
    ) -> GatewayListener {
        let date = HTTPDate()
        let channel = TLSChannel(
            identity: identity, door: door, idleTimeout: Self.idleTimeout,
            requestTimeout: settings.requestTimeout, drain: drain, limits: limits
        ) { request, peer, admission in
            var response = await responder.answer(request, from: peer, admission)
            response.headers[.date] = date.text()
            return response
        }
        return GatewayListener(
            host: host, port: port, channel: channel, drain: drain, logger: logger,
            listening: listening)
    }
}
