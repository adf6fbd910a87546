import Foundation
import Model
import Postgres
import Testing

@testable import DownloadService

@Suite("What a page's rows are written with")
struct RowTextTests {
    private static func written(_ write: (inout BytePen) -> Void) -> String {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = bytes.withUnsafeMutableBytes { memory in
            var pen = BytePen(memory)
            write(&pen)
            return pen.written
        }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    private static func text(ofUUID bytes: [UInt8]) -> String {
        let key = bytes.withUnsafeBufferPointer { RowKey(stored: $0, kind: .uuid) }
        guard case .uuid(let high, let low)? = key else { return "none" }
        return written { $0.put(uuidHigh: high, low: low) }
    }

    @Test("Numbers have all their digits, and a sign where they are below zero")
    func numbers() {
        let powers = (0...18).map { exponent in
            (0..<exponent).reduce(Int64(1)) { power, _ in power * 10 }
        }
        let numbers = powers.flatMap { [$0 - 1, $0, $0 + 1] } + [Int64.max, Int64.min + 1, .min]
        for number in numbers.flatMap({ $0 == .min ? [$0] : [$0, -$0] }) {
            #expect(Self.written { $0.put(number: number) } == "\(number)")
        }
    }

    @Test("Numbers stand behind what was written before, with nothing between")
    func sequence() {
        let text = Self.written { pen in
            pen.put("[")
            pen.put(number: -7)
            pen.put(",")
            pen.put(number: 1_234_567_890)
            pen.put("]")
        }
        #expect(text == "[-7,1234567890]")
    }

    @Test("A uuid has its digits in lower case and its dashes, in quotes")
    func uuids() {
        // Each byte in turn has every value, so that each digit has every one.
        for value in UInt8.min...UInt8.max {
            let bytes = (0..<16).map { UInt8($0) &* 17 &+ value }
            let uuid = bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
            #expect(Self.text(ofUUID: bytes) == "\"\(uuid.uuidString.lowercased())\"")
        }
    }

    @Test("What has not 16 bytes is no uuid", arguments: [0, 15, 17])
    func otherKeys(count: Int) {
        #expect(Self.text(ofUUID: [UInt8](repeating: 7, count: count)) == "none")
    }

    @Test(
        "Times are UTC with the places that they have, before and after 2000",
        arguments: [
            (0, "2000-01-01T00:00:00Z"), (1, "2000-01-01T00:00:00.000001Z"),
            (-1, "1999-12-31T23:59:59.999999Z"), (-1_000_000, "1999-12-31T23:59:59Z"),
            (-946_684_800_500_000, "1969-12-31T23:59:59.5Z"),
            (817_776_000_120_000, "2025-11-30T00:00:00.12Z"),
            (-63_113_904_000_000_000, "0000-01-01T00:00:00Z"),
            (252_455_615_999_999_999, "9999-12-31T23:59:59.999999Z"),
            (.min, "0000-01-01T00:00:00Z"), (.max, "9999-12-31T23:59:59.999999Z"),
        ])
    func times(microseconds: Int64, text: String) {
        let written = WireTime.text(microsecondsSince2000: microseconds)
        #expect(String(decoding: written, as: UTF8.self) == text)
    }

    @Test("Device, table and operation come out of one number as they went in")
    func origins() throws {
        let letters: [(Model.Operation, Character)] = [
            (.insert, "I"), (.update, "U"), (.delete, "D"),
        ]
        for source in [0, 1, Int32.max] {
            for table in [1, 255, 256, TableID.max] {
                for (operation, letter) in letters {
                    // That the statement makes it so is seen by all tests that read pages.
                    let packed =
                        Int64(source) << RowOrigin.sourceShift
                        | Int64(table) << RowOrigin.tableShift | Int64(letter.asciiValue ?? 0)
                    let origin = try RowOrigin(packed: packed)
                    #expect(origin.source == source)
                    #expect(origin.table == table)
                    #expect(origin.operation == operation)
                }
            }
        }
    }
    @Test("A letter that no operation has is told, not taken for one that takes its place")
    func unknownOperation() {
        #expect(throws: PostgresError.self) {
            try RowOrigin(packed: 1 << RowOrigin.tableShift | Int64(UInt8(ascii: "X")))
        }
    }
}
