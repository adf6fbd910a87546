import NIOCore
import Protos
import SwiftProtobuf

@testable import RPC

extension FuzzEntry {
    /// Frames, however the socket cuts them.
    static let frames = FuzzEntry(
        "frames", mostBytes: 4096,
        now: { bytes in
            let (pieces, stream) = bytes.chosen(of: 64)
            let whole = FrameProbe.frames(in: stream, pieces: max(1, stream.count))
            let cut = FrameProbe.frames(in: stream, pieces: pieces + 1)
            try hold(
                whole.error == cut.error && whole.frames.count == cut.frames.count,
                "frames do not depend on how they come")
            for (one, other) in zip(whole.frames, cut.frames) {
                try hold(FrameProbe.areEqual(one, other), "frames do not depend on how they come")
                try FrameProbe.check(one)
                try FrameProbe.check(other)
            }
        })

    /// The messages in frames: what can be read is written so that it is read again.
    static let messages = FuzzEntry(
        "messages", mostBytes: 4096,
        now: { bytes in
            let (place, rest) = bytes.chosen(of: FrameProbe.messages.count)
            try FrameProbe.read(rest, as: FrameProbe.messages[place])
        })
}

private enum FrameProbe {
    /// Bytes of the longest frame.
    private static let limit = 2048

    static let messages: [any Message.Type] = [
        PushChangesRequest.self, PushChangesReply.self, PullChangesRequest.self,
        PullChangesReply.self, ReadBootstrapReply.self, ReadCapabilitiesRequest.self,
        ReadCapabilitiesReply.self, ListFailuresReply.self, ListDevicesRequest.self,
        ListDevicesReply.self, ShowUserReply.self, ReadDigestRequest.self, ReadRowsRequest.self,
        WatchHeadRequest.self, NoteHeadsRequest.self, RecordRefusalRequest.self,
        RecordSettingsRequest.self, GetKeysReply.self, IssueTokenRequest.self,
        IssueClientTokenRequest.self, IssueTokenReply.self, WireHello.self, WireServerStatus.self,
        WireFrameHeader.self, BodyUploadResponse.self, BodyDownloadResponse.self,
    ]

    static func frames(
        in stream: [UInt8], pieces: Int
    ) -> (frames: [Frame], error: FrameError?) {
        var decoder = FrameDecoder(limit: limit)
        var frames: [Frame] = []
        var start = 0
        while start < stream.count {
            let end = min(start + pieces, stream.count)
            decoder.append(ByteBuffer(bytes: stream[start..<end]))
            start = end
            do throws(FrameError) {
                while let frame = try decoder.next() { frames.append(frame) }
            } catch {
                return (frames, error)
            }
        }
        return (frames, nil)
    }

    static func areEqual(_ one: Frame, _ other: Frame) -> Bool {
        one.header == other.header && one.message == other.message && one.body == other.body
    }

    static func check(_ frame: Frame) throws {
        _ = CallContext(header: frame.header, now: .now)
        if frame.header.hasFailure { _ = RPCFailure(wire: frame.header.failure) }
        var (head, body) = try frame.encode(limit: .max, allocator: ByteBufferAllocator())
        if let body { head.writeImmutableBuffer(body) }
        var decoder = FrameDecoder(limit: .max)
        decoder.append(head)
        guard let again = try decoder.next() else {
            throw BrokenRule(description: "a frame is lost")
        }
        try hold(areEqual(again, frame), "a frame is read as it was written")
        guard let hello = try? WireHello(frameBytes: frame.message) else { return }
        _ = RPCHello(wire: hello).worksWith(RPCHello(productVersion: "1", layout: 1))
        _ = ServiceStatus(wire: hello.status)
    }

    static func read<M: Message>(_ bytes: [UInt8], as type: M.Type) throws {
        guard let message = try? M(serializedBytes: bytes) else { return }
        let written: [UInt8] = try message.serializedBytes()
        let again = try M(serializedBytes: written)
        try hold(again.isEqualTo(message: message), "a message is read as it was written")
    }
}
