import Foundation
import NIOCore
import ServiceLifecycle

/// A server that listens on a TCP port, and says which settings to change when it cannot have its address.
package struct Listener: Service {
    /// Ports below are for privileged users only.
    private static let firstFreePort = 1024

    private let server: any Service
    private let host: (key: String, value: String)
    private let port: (key: String, value: Int)

    /// - Parameters:
    ///   - host: the setting that `server` takes its address from, and its value.
    ///   - port: the same of its port.
    package init(
        _ server: any Service, host: (setting: Setting<String>, value: String),
        port: (setting: Setting<Int>, value: Int)
    ) {
        self.server = server
        self.host = (host.setting.key, host.value)
        self.port = (port.setting.key, port.value)
    }

    /// - Throws: `ConfigurationError` if the address cannot be listened on.
    package func run() async throws {
        do {
            try await server.run()
        } catch let error as IOError {
            throw problem(error.errnoCode) ?? error
        } catch is SocketAddressError {
            throw ConfigurationError(
                key: host.key,
                reason: "cannot be \(host.value): there is no address of that name; "
                    + "use an address of this machine, or 0.0.0.0 for all of them")
        }
    }

    private func problem(_ code: CInt) -> ConfigurationError? {
        let address = "\(host.value):\(port.value)"
        switch code {
        case EADDRINUSE:
            return ConfigurationError(
                key: port.key,
                reason: "cannot be \(port.value): another process listens on \(address); "
                    + "end it, or choose another port")
        case EACCES:
            return ConfigurationError(
                key: port.key,
                reason: "cannot be \(port.value): this user may not listen on \(address); "
                    + "choose a port from \(Self.firstFreePort) on")
        case EADDRNOTAVAIL:
            return ConfigurationError(
                key: host.key,
                reason: "cannot be \(host.value): no address of this machine, so nothing can "
                    + "listen on \(address)")
        default: return nil
        }
    }
}
