import Foundation
import Model
import NIOCore
import Protos
import SwiftProtobuf
import WireJSON

/// The form of an upload's body and of its answer.
enum BodyFormat: Hashable, Sendable {
    case json, protobuf
}

/// Reads the body of an upload that is an `oversync.wire.v1.UploadRequest`.
enum ProtobufUploadDecoder {
    /// - Returns: the changes, and the bytes that their payloads are places in.
    static func decode(
        _ body: ByteBuffer
    ) throws(UndecodableUpload) -> (changes: [WireChange], payloads: ByteBuffer) {
        // Counted before any is made: an empty change takes two bytes of the body and a hundred in
        // memory.
        guard countChanges(in: body) <= WireLimits.answeredChanges else { throw .tooManyChanges }
        let request: BodyUploadRequest
        do {
            request = try BodyUploadRequest(serializedBytes: Data(body.readableBytesView))
        } catch {
            throw UndecodableUpload(reason: "the body is not an oversync.wire.v1.UploadRequest")
        }
        var payloads = ByteBuffer()
        payloads.reserveCapacity(body.readableBytes)
        let changes = request.changes.map { change in
            var wire = WireChange()
            wire.id = change.sourceChangeID
            wire.schema = change.schema
            wire.table = change.table
            wire.operation = change.op
            wire.key = change.pk
            wire.base = change.serverVersion
            wire.lost = change.lostVersion
            if !change.payload.isEmpty {
                wire.payload = JSONSlice(payload: change.payload, at: payloads.writerIndex)
                payloads.writeBytes(change.payload)
            }
            return wire
        }
        return (changes, payloads)
    }

    /// The fields of `changes` in a body, as far as it can be read: never fewer than the decoder
    /// makes of it.
    private static func countChanges(in body: ByteBuffer) -> Int {
        var rest = body
        var count = 0
        while let tag = rest.readVarint() {
            let field = tag >> 3
            if field == BodyUploadRequest.changesField { count += 1 }
            let isReadable: Bool
            switch tag & 7 {
            case 0: isReadable = rest.readVarint() != nil
            case 1: isReadable = rest.skip(8)
            case 2: isReadable = rest.readVarint().map { rest.skip($0) } ?? false
            // What a group holds is counted like the rest.
            case 3, 4: isReadable = true
            case 5: isReadable = rest.skip(4)
            default: isReadable = false
            }
            guard isReadable else { break }
        }
        return count
    }
}

extension JSONSlice {
    /// A payload that came without a body around it, as a slice of a body in which it stands at
    /// `offset`. A payload that is not a JSON value counts as a string, which no payload may be.
    init(payload: some ContiguousBytes, at offset: Int) {
        self = payload.withUnsafeBytes { raw in
            var reader = JSONReader(raw.bindMemory(to: UInt8.self))
            guard let value = try? reader.skipValue(), (try? reader.expectEnd()) != nil else {
                return JSONSlice(
                    kind: .string, range: offset..<offset + raw.count, flaw: nil,
                    hasEscapes: false, hasWhitespace: false)
            }
            return JSONSlice(
                kind: value.kind,
                range: value.range.lowerBound + offset..<value.range.upperBound + offset,
                flaw: value.flaw, hasEscapes: value.hasEscapes,
                hasWhitespace: value.hasWhitespace)
        }
    }
}

extension BodyUploadRequest {
    /// The number of `changes` in wire.proto.
    fileprivate static let changesField: UInt64 = 1
}

extension ByteBuffer {
    /// Bytes of the longest varint.
    private static let longestVarint = 10

    /// - Returns: nil if there is none.
    fileprivate mutating func readVarint() -> UInt64? {
        var value: UInt64 = 0
        for place in 0..<Self.longestVarint {
            guard let byte: UInt8 = readInteger() else { return nil }
            value |= UInt64(byte & 0x7F) << UInt64(7 * place)
            if byte < 0x80 { return value }
        }
        return nil
    }

    /// - Returns: false if fewer bytes are left.
    fileprivate mutating func skip(_ bytes: UInt64) -> Bool {
        guard bytes <= UInt64(readableBytes) else { return false }
        moveReaderIndex(forwardBy: Int(bytes))
        return true
    }
}

extension UploadAnswer {
    /// The answer as an `oversync.wire.v1.UploadResponse`.
    func encodedAsProtobuf() -> ByteBuffer {
        var response = BodyUploadResponse()
        response.accepted = isAccepted
        response.highestServerSeq = result.highestSequence
        response.statuses = result.outcomes.enumerated().map { index, outcome in
            BodyChangeStatus(outcome, id: changeIDs[index])
        }
        // Only a message with required fields or an Any can fail to be written.
        let bytes: [UInt8] = (try? response.serializedBytes()) ?? []
        return ByteBuffer(bytes: bytes)
    }
}

extension BodyChangeStatus {
    fileprivate init(_ outcome: ChangeVerdict, id: ChangeID) {
        self.init()
        sourceChangeID = id
        status = outcome.status
        switch outcome {
        case .applied(let version): newServerVersion = version ?? 0
        case .conflict(let row): serverRow = BodyServerRow(row)
        case .invalid(let rejection):
            message = rejection.message ?? ""
            invalid.reason = rejection.reason.rawValue
            if case .missing(let labels) = rejection.details { invalid.missing = labels }
        case .materializeError(let version, let text):
            newServerVersion = version
            message = text
        case .aborted: break
        }
    }
}

extension BodyServerRow {
    fileprivate init(_ row: ServerRow) {
        self.init()
        schemaName = row.table.schema
        tableName = row.table.table
        id = row.key.text
        serverVersion = row.version
        deleted = row.isDeleted
        payload = Data(row.payload ?? [])
        sourceID = row.device
        sourceChangeID = row.changeID
        ts = row.timestamp
    }
}
