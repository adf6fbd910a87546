import Foundation
import HTTPTypes
import Hummingbird
import Model
import NIOCore

/// The form of a sync body.
enum BodyType: Hashable, Sendable {
    case json, protobuf

    static let protobufMediaType = "application/x-protobuf"

    /// The form of a request's body. Anything that is not protobuf counts as JSON: existing clients send
    /// what they like.
    init(contentType: String?) {
        self = contentType.map(Self.names) == true ? .protobuf : .json
    }

    /// The form that an answer shall have.
    init(accept: String?) {
        let isWanted = accept?.split(separator: ",").contains { Self.names(String($0)) }
        self = isWanted == true ? .protobuf : .json
    }

    private static func names(_ mediaType: String) -> Bool {
        let name = mediaType.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces)
        return name.lowercased() == protobufMediaType
    }

    var mediaType: String {
        switch self {
        case .json: "application/json"
        case .protobuf: Self.protobufMediaType
        }
    }
}

extension Response {
    /// Answers under this size gain nothing by compression.
    private static let minimumCompressedBytes = 1024

    /// The answer to a sync request, compressed where the caller takes it.
    ///
    /// - Parameter user: who waits for its other compressions.
    static func sync(
        _ body: ByteBuffer, _ type: BodyType, for request: Request, _ work: LongWork,
        of user: UserID?
    ) async -> Response {
        var headers: HTTPFields = [.contentType: type.mediaType, .vary: "Accept, Accept-Encoding"]
        var body = body
        // Nobody sends the body of an answer to HEAD.
        if request.method != .head, body.readableBytes >= minimumCompressedBytes,
            request.acceptsGzip, let compressed = await work.deflate(body, of: user)
        {
            body = compressed
            headers[.contentEncoding] = "gzip"
        }
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: body))
    }
}

extension Response {
    /// Tells a device the change by which it proves later that it knows this history.
    ///
    /// - Parameter sequence: 0 where there is none to tell.
    mutating func tell(history sequence: Int64, _ tag: UInt64) {
        guard sequence > 0 else { return }
        headers[.history] = HistoryPair(sequence: sequence, tag: tag).text
    }
}

extension Response {
    /// Tells a device which tables it may read.
    ///
    /// - Parameter fingerprint: empty where there is none to tell.
    mutating func tell(tables fingerprint: String) {
        if !fingerprint.isEmpty { headers[.tables] = fingerprint }
    }
}

extension Request {
    /// What a device sends as long as it knows no tables.
    private static let unknownTables = "unknown"
    /// The digits of a fingerprint.
    private static let fingerprintDigits = 16

    /// The fingerprint of the tables that the device takes for readable; empty when it does not
    /// say: older clients get what they always got.
    var readable: String {
        get throws(WireError) {
            guard let text = headers[.tables], !text.isEmpty else { return "" }
            let isFingerprint =
                text.utf8.count == Self.fingerprintDigits
                && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
            guard isFingerprint || text == Self.unknownTables else {
                throw .invalid(
                    "Oversync-Tables must be 16 hexadecimal digits, as an answer gave it, or "
                        + Self.unknownTables)
            }
            return text
        }
    }

    /// The kinds of keys that the client asks for, of those that must be asked for: a list with
    /// commas. Words that are not known here are those of newer clients.
    var keyKinds: [String] {
        guard let text = headers[.keyKinds] else { return [] }
        let words = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        return KeyKind.allCases.filter { $0.mustBeAskedFor && words.contains($0.rawValue) }
            .map(\.rawValue)
    }

    /// Whether `Accept-Encoding` names gzip, or anything, with a weight over 0 (RFC 9110 §12.5.3).
    var acceptsGzip: Bool {
        let weights = (headers[.acceptEncoding] ?? "").split(separator: ",").map(Self.weight)
        let named = weights.first { $0.coding == "gzip" || $0.coding == "x-gzip" }
        return (named ?? weights.first { $0.coding == "*" }).map { $0.weight > 0 } ?? false
    }

    private static func weight(_ element: Substring) -> (coding: String, weight: Double) {
        let parts = element.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
        let weight = parts.dropFirst().first { $0.lowercased().hasPrefix("q=") }
        return (parts.first?.lowercased() ?? "", weight.flatMap { Double($0.dropFirst(2)) } ?? 1)
    }

    /// The history that the device says it belongs to; empty when it does not say.
    var epoch: String {
        get throws(WireError) {
            guard let text = headers[.epoch], !text.isEmpty else { return "" }
            guard let uuid = UUID(uuidString: text) else {
                throw .invalid("Oversync-Epoch must be the epoch that /sync/bootstrap gave")
            }
            return uuid.uuidString.lowercased()
        }
    }

    /// What the device says it knows of that history; nil when it does not say.
    var history: HistoryPair? {
        get throws(WireError) {
            guard let text = headers[.history], !text.isEmpty else { return nil }
            guard let pair = HistoryPair(text: text) else {
                throw .invalid(
                    "Oversync-History must be a sequence from 1, -, and 16 hexadecimal digits, "
                        + "as an answer gave it")
            }
            return pair
        }
    }

    /// Whether the answer may tell the history: older clients get what they always got.
    var knowsHistories: Bool { headers[.epoch]?.isEmpty == false || headers[.history] != nil }
}
