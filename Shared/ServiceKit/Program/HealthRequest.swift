import Foundation

/// Asks a service's admin listener whether it is ready, so that an image needs no other program for its health check.
struct HealthRequest {
    /// Longest wait for each step of the answer, in seconds.
    private static let patienceSeconds = 3
    /// Longest answer that is read, in bytes.
    private static let maximumAnswerBytes = 64 << 10

    let host: String
    let port: Int

    /// - Throws: `ConfigurationError` when the listener's address is not known.
    init(_ configuration: Configuration) throws(ConfigurationError) {
        port = try configuration.value(CommonSettings.adminPort)
        guard port != 0 else {
            throw ConfigurationError(
                key: CommonSettings.adminPort.key,
                reason: "is 0: the system chose a port that only the service knows; set one")
        }
        // Who listens on every address listens on this one.
        switch try configuration.value(CommonSettings.adminHost) {
        case "0.0.0.0": host = "127.0.0.1"
        case "::", "[::]": host = "::1"
        case let other: host = other
        }
    }

    /// What came back: the answer's status and text.
    struct Answer {
        let status: Int
        let text: String
    }

    /// Why there is no answer, in words that follow the address.
    struct NoAnswer: Error { let reason: String }

    func perform() throws(NoAnswer) -> Answer {
        let descriptor = try connected()
        defer { close(descriptor) }
        let request = "GET /ready HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n"
        let sent = request.utf8.withContiguousStorageIfAvailable {
            send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard sent == request.utf8.count else { throw NoAnswer(reason: Self.words(errno)) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < Self.maximumAnswerBytes {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0 {
                if errno == EINTR { continue }
                throw NoAnswer(reason: Self.words(errno))
            }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return try Self.parsed(String(decoding: bytes, as: UTF8.self))
    }

    static func parsed(_ text: String) throws(NoAnswer) -> Answer {
        let halves = text.split(
            separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
        let words = text.prefix { $0 != "\r\n" }.split(separator: " ")
        guard halves.count == 2, words.count >= 2, words[0].hasPrefix("HTTP/1."),
            let status = Int(words[1])
        else { throw NoAnswer(reason: "what answers there is not a service of Oversync") }
        return Answer(
            status: status, text: halves[1].trimmingCharacters(in: .whitespacesAndNewlines))
    }

    private func connected() throws(NoAnswer) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else { throw NoAnswer(reason: String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var reason = "no address"
        var next = list
        while let address = next?.pointee {
            next = address.ai_next
            let descriptor = socket(
                address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue),
                address.ai_protocol)
            guard descriptor >= 0 else {
                reason = Self.words(errno)
                continue
            }
            // Both bound each step of the exchange; the first bounds connecting, too.
            var patience = timeval(tv_sec: Self.patienceSeconds, tv_usec: 0)
            let size = socklen_t(MemoryLayout<timeval>.size)
            setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, size)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
            if connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return descriptor }
            reason = Self.words(errno)
            close(descriptor)
        }
        throw NoAnswer(reason: reason)
    }

    private static func words(_ code: Int32) -> String {
        switch code {
        case EAGAIN, EINPROGRESS: "no answer within \(patienceSeconds) s"
        default: String(cString: strerror(code))
        }
    }
}
