import NIOCore

/// Writes frames and flushes once for all that are written in one turn of the event loop: many
/// small answers then cost one system call. Used on its event loop only.
final class FlushOnce {
    private var isScheduled = false

    /// - Returns: why nothing was written, or nil.
    func write(_ frame: Frame, limit: Int, to context: ChannelHandlerContext) -> FrameError? {
        do throws(FrameError) {
            let (head, body) = try frame.encode(limit: limit, allocator: context.channel.allocator)
            context.write(NIOAny(head), promise: nil)
            if let body { context.write(NIOAny(body), promise: nil) }
        } catch {
            return error
        }
        guard !isScheduled else { return nil }
        isScheduled = true
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.execute {
            let (output, context) = bound.value
            output.isScheduled = false
            context.flush()
        }
        return nil
    }
}
