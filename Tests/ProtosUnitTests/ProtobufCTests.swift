import Foundation
import ProtobufC
import Protos
import SwiftProtobuf
import Testing

/// The protos stay plain protobuf: a second implementation, protobuf-c, reads what Swift writes and
/// writes what Swift reads.
struct ProtobufCTests {
    /// Bytes that a protobuf-c message packs into.
    private func packed<M>(
        _ message: inout M, size: (UnsafePointer<M>) -> Int,
        pack: (UnsafePointer<M>, UnsafeMutablePointer<UInt8>) -> Int
    ) -> [UInt8] {
        withUnsafePointer(to: &message) { pointer in
            [UInt8](unsafeUninitializedCapacity: size(pointer)) { buffer, count in
                count = buffer.baseAddress.map { pack(pointer, $0) } ?? 0
            }
        }
    }

    @Test func `C reads a frame header that Swift wrote`() throws {
        let header = WireFrameHeader.with {
            $0.kind = .end
            $0.callID = 4_000_000_000
            $0.method = "oversync.upload.v1.PushChanges"
            $0.deadlineMilliseconds = 30_000
            $0.requestID = "anfrage-ä"
            $0.traceparent = "00-4bf92f-00f0-01"
            $0.caller.user = "u"
            $0.caller.device = "d"
            $0.messageSize = 17
            $0.failure.status = .tooLarge
            $0.failure.code = "payload_too_large"
            $0.failure.message = "no"
            $0.failure.retryAfterMilliseconds = 1500
            $0.partCredit = 8
        }
        let bytes: [UInt8] = try header.serializedBytes()
        let pointer = try #require(
            oversync__rpc__v1__frame_header__unpack(nil, bytes.count, bytes))
        defer { oversync__rpc__v1__frame_header__free_unpacked(pointer, nil) }
        let read = pointer.pointee
        #expect(read.kind.rawValue == UInt32(header.kind.rawValue))
        #expect(read.call_id == header.callID)
        #expect(String(cString: read.method) == header.method)
        #expect(read.deadline_milliseconds == header.deadlineMilliseconds)
        #expect(String(cString: read.request_id) == header.requestID)
        #expect(String(cString: read.traceparent) == header.traceparent)
        #expect(String(cString: read.caller.pointee.user) == "u")
        #expect(String(cString: read.caller.pointee.device) == "d")
        #expect(read.message_size == 17)
        #expect(read.failure.pointee.status.rawValue == UInt32(WireStatusCode.tooLarge.rawValue))
        #expect(String(cString: read.failure.pointee.code) == "payload_too_large")
        #expect(read.failure.pointee.retry_after_milliseconds == 1500)
        #expect(read.part_credit == 8)
    }

    @Test func `C reads a hello that Swift wrote`() throws {
        let hello = WireHello.with {
            $0.rpcVersion = 3
            $0.oldestRpcVersion = 2
            $0.productVersion = "1.4.0"
            $0.layout = 11
            $0.status.state = .degraded
            $0.status.problems = ["a table", "another"]
        }
        let bytes: [UInt8] = try hello.serializedBytes()
        let pointer = try #require(oversync__rpc__v1__hello__unpack(nil, bytes.count, bytes))
        defer { oversync__rpc__v1__hello__free_unpacked(pointer, nil) }
        let read = pointer.pointee
        #expect(read.rpc_version == 3)
        #expect(read.oldest_rpc_version == 2)
        #expect(String(cString: read.product_version) == "1.4.0")
        #expect(read.layout == 11)
        let status = read.status.pointee
        #expect(status.state.rawValue == UInt32(WireServerState.degraded.rawValue))
        #expect(status.n_problems == 2)
        #expect(status.problems[1].map { String(cString: $0) } == "another")
    }

    @Test func `Swift reads a frame header that C wrote`() throws {
        var message = Oversync__Rpc__V1__FrameHeader()
        oversync__rpc__v1__frame_header__init(&message)
        let method = strdup("oversync.download.v1.PullChanges")
        defer { free(method) }
        message.kind = OVERSYNC__RPC__V1__FRAME_KIND__FRAME_KIND_CALL
        message.call_id = 7
        message.method = method
        message.deadline_milliseconds = .max
        message.part_credit = 3
        let bytes = packed(
            &message, size: oversync__rpc__v1__frame_header__get_packed_size,
            pack: oversync__rpc__v1__frame_header__pack)
        let read = try WireFrameHeader(serializedBytes: bytes)
        #expect(read.kind == .call)
        #expect(read.callID == 7)
        #expect(read.method == "oversync.download.v1.PullChanges")
        #expect(read.deadlineMilliseconds == .max)
        #expect(read.partCredit == 3)
        #expect(!read.hasFailure)
        #expect(!read.hasCaller)
    }

    @Test(arguments: [0, 1, -1, Int64.max, Int64.min])
    func `sequence numbers are the same on both sides, to the last bit`(number: Int64) throws {
        let reply = PushChangesReply.with {
            $0.applied = 200
            $0.materializeErrors = .max
            $0.firstSeq = number
            $0.lastSeq = number
        }
        let bytes: [UInt8] = try reply.serializedBytes()
        let pointer = try #require(
            oversync__upload__v1__push_changes_reply__unpack(nil, bytes.count, bytes))
        defer { oversync__upload__v1__push_changes_reply__free_unpacked(pointer, nil) }
        #expect(pointer.pointee.applied == 200)
        #expect(pointer.pointee.materialize_errors == .max)
        #expect(pointer.pointee.first_seq == number)

        var request = Oversync__Download__V1__PullChangesRequest()
        oversync__download__v1__pull_changes_request__init(&request)
        request.after = number
        request.limit = -5
        request.include_self = 1
        let written = packed(
            &request, size: oversync__download__v1__pull_changes_request__get_packed_size,
            pack: oversync__download__v1__pull_changes_request__pack)
        let read = try PullChangesRequest(serializedBytes: written)
        #expect(read.after == number)
        #expect(read.limit == -5)
        #expect(read.includeSelf)
        #expect(read.schema.isEmpty)
    }

    @Test func `keys and tokens go both ways`() throws {
        let keys = GetKeysReply.with {
            $0.jwks = #"{"keys":[]}"#
            $0.maxAgeSeconds = 300
        }
        let bytes: [UInt8] = try keys.serializedBytes()
        let pointer = try #require(
            oversync__auth__v1__get_keys_reply__unpack(nil, bytes.count, bytes))
        defer { oversync__auth__v1__get_keys_reply__free_unpacked(pointer, nil) }
        #expect(String(cString: pointer.pointee.jwks) == keys.jwks)
        #expect(pointer.pointee.max_age_seconds == 300)

        var reply = Oversync__Auth__V1__IssueTokenReply()
        oversync__auth__v1__issue_token_reply__init(&reply)
        let token = strdup("a.b.c")
        defer { free(token) }
        reply.token = token
        reply.expires_in = 3600
        let written = packed(
            &reply, size: oversync__auth__v1__issue_token_reply__get_packed_size,
            pack: oversync__auth__v1__issue_token_reply__pack)
        let read = try IssueTokenReply(serializedBytes: written)
        #expect(read.token == "a.b.c")
        #expect(read.expiresIn == 3600)
    }
}
