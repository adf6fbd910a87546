import NIOCore
import OperatorKit

/// One device that uploads, and then asks at once for what it has uploaded.
struct ReadBackSource: RequestSource {
    private var uploads: UploadSource
    private let token: String
    private let changes: Int
    /// The next request is for a page.
    private var isReading = false

    init(_ device: LoadDevice, changes: Int) {
        self.changes = changes
        token = device.token
        uploads = UploadSource(device, .inserts, changes: changes)
    }

    mutating func next() -> ByteBuffer {
        guard isReading else { return uploads.next() }
        return RequestBytes.get(
            "/sync/download?after=\(uploads.head - changes)&limit=1000&include_self=true",
            token: token)
    }

    mutating func take(_ body: UnsafeRawBufferPointer) throws -> Int {
        defer { isReading.toggle() }
        guard isReading else { return try uploads.take(body) }
        let end = UnsafeRawBufferPointer(rebasing: body.suffix(128))
        guard AnswerNumber.first(#""next_after":"#, in: end) == uploads.head else {
            throw StackError(
                "a page lacks its reader's upload: \(String(decoding: end, as: UTF8.self))")
        }
        return changes
    }
}
