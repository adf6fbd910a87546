import NIOCore

/// An upload request whose bytes are all there but for keys, change ids and base versions, which have fixed places. To
/// make the next one costs a copy and a few writes: the load must not take the processor from the servers.
struct UploadTemplate: Sendable {
    /// Columns of a change id and of a version: JSON allows spaces before a number.
    private static let numberWidth = 12
    private static let keyWidth = 36

    private struct Hole {
        enum Content {
            case key(UploadMix.Slot.Rows, Int)
            case change(Int)
            case version
        }
        let offset: Int
        let content: Content
    }

    private let request: ByteBuffer
    private let holes: [Hole]

    /// - Parameter name: what every author is called.
    init(_ slots: [UploadMix.Slot], token: String, name: String = LoadText.name) {
        var body = Body(name: name)
        body.text(#"{"last_server_seq_seen":0,"changes":["#)
        for (index, slot) in slots.enumerated() {
            if index > 0 { body.text(",") }
            body.change(slot, index)
        }
        body.text("]}")
        let head =
            RequestBytes.head("POST", "/sync/upload", token: token)
            + "content-type: application/json\r\ncontent-length: \(body.bytes.count)\r\n\r\n"
        var request = ByteBuffer(string: head)
        request.writeBytes(body.bytes)
        self.request = request
        holes = body.holes.map {
            Hole(offset: head.utf8.count + $0.offset, content: $0.content)
        }
    }

    /// - Parameters:
    ///   - firstRow: number of the request's first row among the device's.
    ///   - key: the key of a row.
    func filled(firstRow: Int, firstChange: Int, version: Int, keys: LoadKeys) -> ByteBuffer {
        var copy = request
        copy.withUnsafeMutableReadableBytes { bytes in
            for hole in holes {
                switch hole.content {
                case .key(let rows, let row):
                    keys.write(rows == .ofRequest ? firstRow + row : row, at: hole.offset, bytes)
                case .change(let index):
                    Self.write(firstChange + index, at: hole.offset, bytes)
                case .version: Self.write(version, at: hole.offset, bytes)
                }
            }
        }
        return copy
    }

    private static func write(
        _ number: Int, at offset: Int, _ bytes: UnsafeMutableRawBufferPointer
    ) {
        var rest = number
        var place = offset + numberWidth - 1
        while place >= offset {
            bytes[place] =
                rest > 0 || place == offset + numberWidth - 1
                ? UInt8(ascii: "0") + UInt8(rest % 10) : UInt8(ascii: " ")
            rest /= 10
            place -= 1
        }
    }

    /// The body as it grows.
    private struct Body {
        let name: String
        var bytes: [UInt8] = []
        var holes: [Hole] = []

        mutating func text(_ text: String) { bytes.append(contentsOf: text.utf8) }

        mutating func change(_ slot: UploadMix.Slot, _ index: Int) {
            text(#"{"source_change_id":"#)
            hole(.change(index), numberWidth)
            let table = slot.author == nil ? "users" : "posts"
            text(
                #","schema":"business","table":"\#(table)","op":"\#(slot.operation.rawValue)","pk":""#
            )
            hole(.key(slot.rows, slot.row), keyWidth)
            text(#"","server_version":"#)
            if slot.namesVersion { hole(.version, numberWidth) } else { text("0") }
            if slot.operation != .delete { payload(slot) }
            text("}")
        }

        private mutating func payload(_ slot: UploadMix.Slot) {
            text(#","payload":{"id":""#)
            hole(.key(slot.rows, slot.row), keyWidth)
            if let author = slot.author {
                text(#"","author_id":""#)
                hole(.key(slot.rows, author), keyWidth)
                text(#"","title":"\#(LoadText.title)","content":"\#(LoadText.content)"}"#)
            } else {
                text(#"","name":"\#(name)","email":""#)
                hole(.key(slot.rows, slot.row), keyWidth)
                text(#"@example.org"}"#)
            }
        }

        private mutating func hole(_ content: Hole.Content, _ width: Int) {
            holes.append(Hole(offset: bytes.count, content: content))
            bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: width))
        }
    }
}

/// What the load's rows say. The floor's SQL writes texts of the same lengths.
enum LoadText {
    static let name = "An author of some posts"
    static let title = "A post of the usual kind"
    static let content =
        "A few words that stand for what people write when they write a post of some length."
}

/// The keys of a device's rows: spread like random ones, and known by the row's number alone.
struct LoadKeys: Sendable {
    let seed: UInt64

    /// Writes a row's key as the text of a uuid.
    func write(_ row: Int, at offset: Int, _ bytes: UnsafeMutableRawBufferPointer) {
        let number = seed &+ UInt64(bitPattern: Int64(row)) &* 2
        let halves = [Self.mix(number), Self.mix(number &+ 1)]
        var place = offset
        for half in halves {
            for nibble in (0..<16).reversed() {
                let printed = place - offset
                if printed == 8 || printed == 13 || printed == 18 || printed == 23 {
                    bytes[place] = UInt8(ascii: "-")
                    place += 1
                }
                let digit = UInt8(truncatingIfNeeded: (half >> (UInt64(nibble) * 4)) & 0xf)
                bytes[place] =
                    digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                place += 1
            }
        }
    }

    /// SplitMix64's output function: different numbers give different results.
    private static func mix(_ number: UInt64) -> UInt64 {
        var z = number &* 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
