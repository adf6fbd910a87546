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
        let request: BodyUploadRequest
        do {
            request = try BodyUploadRequest(serializedBytes: Data(body.readableBytesView))
        } catch {
            throw UndecodableUpload(reason: "the body is not an oversync.wire.v1.UploadRequest")
        }
        guard request.changes.count <= WireLimits.answeredChanges else { throw .tooManyChanges }
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
            if !change.payload.isEmpty {
                wire.payload = slice(change.payload, at: payloads.writerIndex)
                payloads.writeBytes(change.payload)
            }
            return wire
        }
        return (changes, payloads)
    }

    /// A payload, to stand at a place. One that is no JSON value counts as a string, which no payload may be.
    private static func slice(_ payload: Data, at offset: Int) -> JSONSlice {
        payload.withUnsafeBytes { raw in
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
    fileprivate init(_ outcome: ChangeOutcome, id: ChangeID) {
        self.init()
        sourceChangeID = id
        status = outcome.status
        switch outcome {
        case .applied(let version): newServerVersion = version ?? 0
        case .conflict(let row): serverRow = BodyServerRow(row)
        case .invalid(let refusal):
            message = refusal.message ?? ""
            invalid.reason = refusal.reason.rawValue
            if case .missing(let labels) = refusal.details { invalid.missing = labels }
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
