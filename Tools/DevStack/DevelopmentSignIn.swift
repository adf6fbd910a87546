import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit

/// Gets a device's tokens from the gateway's development sign-in, a new one when the last is about to end.
package actor DevelopmentSignIn {
    /// Seconds before its end at which a token is not used any more.
    private static let margin = 30.0

    private struct Answer: Decodable {
        let token: String
        let expires_in: Double
    }

    private let stack: @Sendable () throws -> StackAddress
    private let user: String
    private let device: String
    private var current: (token: String, until: Date)?

    /// - Parameter stack: finds the stack; asked for each new token, because the stack may have
    ///   been restarted.
    package init(
        stack: @escaping @Sendable () throws -> StackAddress, user: String, device: String
    ) {
        self.stack = stack
        self.user = user
        self.device = device
    }

    package func token() async throws -> String {
        if let current, current.until > Date() { return current.token }
        let stack = try stack()
        let body = try JSONEncoder().encode(["user": user, "device": device])
        let answer = try await stack.withClient { client in
            var request = HTTPClientRequest(url: stack.gateway + "/dev/sign-in")
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: body))
            let response = try await client.execute(request, timeout: .seconds(10))
            let bytes = try await response.body.collect(upTo: 1 << 16)
            guard response.status == .ok else {
                throw StackError("sign-in was refused: \(response.status) \(String(buffer: bytes))")
            }
            return try JSONDecoder().decode(Answer.self, from: Data(bytes.readableBytesView))
        }
        current = (answer.token, Date().addingTimeInterval(answer.expires_in - Self.margin))
        return answer.token
    }
}
