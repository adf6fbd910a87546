import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import ServiceKit

/// Reads an issuer's key set: over HTTPS, or from a file. Bounded in bytes and in time.
struct KeyDownload: Sendable {
    /// Largest key set, in bytes. A key of 4096 bits with its certificates takes some 8 KiB.
    static let maximumBytes = 256 << 10
    /// Longest time of one reading.
    static let timeout: Duration = .seconds(5)

    let keys: IssuerSettings.Keys
    let algorithms: Set<TokenAlgorithm>
    /// Shorter in tests alone.
    var timeout = Self.timeout

    /// - Throws: `KeySetFlaw`, or what the connection ended with.
    func callAsFunction() async throws -> KeySet {
        let bytes: [UInt8] =
            switch keys {
            case .url(let url, let authority): try await download(url, authority)
            case .file(let path): try Self.content(of: path)
            }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw KeySetFlaw("the key set is not UTF-8")
        }
        let set = try await KeySet(text, algorithms: algorithms)
        // More likely a mistake than a wish to refuse everybody: the last keys stay.
        guard !set.isEmpty else {
            throw KeySetFlaw("the key set has no key with a kid that could check a token")
        }
        return set
    }

    private static func content(of path: String) throws -> [UInt8] {
        do {
            let bytes = try SettingFile.bytes(of: path)
            guard bytes.count <= maximumBytes else {
                throw KeySetFlaw("\(path) is larger than \(maximumBytes) bytes")
            }
            return bytes
        } catch let problem as SettingProblem {
            throw KeySetFlaw("jwks_file " + problem.reason)
        }
    }

    /// Each reading has its own client: readings are rare, and a renewed certificate is read again.
    private func download(_ url: String, _ authority: String?) async throws -> [UInt8] {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        if let authority { tls.trustRoots = .file(authority) }
        // Another address than the configured one is not asked.
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls, redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        configuration.timeout.connect = TimeAmount(timeout)
        return try await HTTPClient.withHTTPClient(configuration: configuration) { client in
            try await within(timeout) {
                var request = HTTPClientRequest(url: url)
                request.headers.add(name: "Accept", value: "application/json")
                let response = try await client.execute(request, timeout: TimeAmount(timeout))
                guard response.status == .ok else {
                    throw KeySetFlaw("\(url) answered \(response.status.code)")
                }
                do {
                    return Array(
                        try await response.body.collect(upTo: Self.maximumBytes).readableBytesView)
                } catch is NIOTooManyBytesError {
                    throw KeySetFlaw("\(url) answered more than \(Self.maximumBytes) bytes")
                }
            }
        }
    }

    /// The time of the answer's head and of its body together.
    private func within<Value: Sendable>(
        _ time: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: time)
                throw KeySetFlaw("the key set did not come within \(time)")
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }

    /// Keys that somebody on the way could exchange would let him in.
    ///
    /// - Throws: `IssuerFlaw` unless the address is one of HTTPS, or of this machine.
    static func check(_ url: String) throws(IssuerFlaw) {
        guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty,
            parts.user == nil, parts.password == nil, parts.fragment == nil
        else { throw IssuerFlaw(".jwks_url is not an address such as https://id.example.com/jwks") }
        switch parts.scheme?.lowercased() {
        case "https": return
        case "http" where LoopbackHost.isLoopback(host): return
        case "http":
            throw IssuerFlaw(
                ".jwks_url must begin with https://; http:// is for this machine alone")
        default: throw IssuerFlaw(".jwks_url must begin with https://")
        }
    }
}

/// Names of this machine that no other machine can reach it by.
enum LoopbackHost {
    static func isLoopback(_ host: String) -> Bool {
        let name = host.lowercased().trimmingPrefix("[").replacing("]", with: "")
        if name == "localhost" { return true }
        guard let address = try? SocketAddress(ipAddress: String(name), port: 0) else {
            return false
        }
        switch address {
        case .v4(let v4): return UInt32(bigEndian: v4.address.sin_addr.s_addr) >> 24 == 127
        case .v6: return address.ipAddress == "::1"
        case .unixDomainSocket: return false
        }
    }
}
