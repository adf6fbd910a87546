import DevStack
import NIOCore
import OperatorKit

/// One reader that reads a user's log from its start to its end, again and again.
struct PageSource: RequestSource {
    let limit: Int
    private let token: String
    private let headers: String
    private var after = 0
    /// The first answer is looked at row by row; later ones only where they end.
    private var isFirst = true

    /// - Parameter headers: more headers, each with its end of line.
    init(_ device: LoadDevice, limit: Int, headers: String = "") {
        self.limit = limit
        self.headers = headers
        token = device.token
    }

    mutating func next() -> ByteBuffer {
        RequestBytes.get(
            "/sync/download?after=\(after)&limit=\(limit)&include_self=true", token: token,
            more: headers)
    }

    mutating func take(_ body: UnsafeRawBufferPointer) throws -> Int {
        let end = UnsafeRawBufferPointer(rebasing: body.suffix(128))
        guard let next = AnswerNumber.first(#""next_after":"#, in: end), next > after else {
            throw StackError("no page: \(String(decoding: body, as: UTF8.self).prefix(300))")
        }
        let rows = next - after
        if isFirst {
            let found = occurrences(of: #""server_id":"#, in: body)
            guard found == rows else { throw StackError("\(found) rows instead of \(rows)") }
            isFirst = false
        }
        let hasMore = occurrences(of: #""has_more":true"#, in: end) == 1
        after = hasMore ? next : 0
        return rows
    }
}

/// One device that asks for news when there are none.
struct PollSource: RequestSource {
    private let request: ByteBuffer
    /// What every answer begins with.
    private let beginning: [UInt8]

    init(path: String, token: String?, answersBegin beginning: String) {
        request = RequestBytes.get(path, token: token)
        self.beginning = Array(beginning.utf8)
    }

    mutating func next() -> ByteBuffer { request }

    mutating func take(_ body: UnsafeRawBufferPointer) throws -> Int {
        guard body.starts(with: beginning) else {
            throw StackError("not empty: \(String(decoding: body, as: UTF8.self).prefix(300))")
        }
        return 1
    }
}

/// Numbers in answers, found without reading what is before them.
enum AnswerNumber {
    static func first(_ name: StaticString, in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let found = firstOccurrence(of: name, in: bytes) else { return nil }
        var place = found + name.utf8CodeUnitCount
        var number: Int?
        while place < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[place]) {
            number = (number ?? 0) * 10 + Int(bytes[place] - UInt8(ascii: "0"))
            place += 1
        }
        return number
    }
}
