import NIOCore

/// The body of a request as it comes. While nobody takes it, nothing more is read.
enum HTTP1Body {
    /// Parts that are held before the connection is read no further, and at which reading goes on.
    private static let watermarks = (low: 2, high: 4)

    typealias Producer = NIOThrowingAsyncSequenceProducer<
        ByteBuffer, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark,
        Delegate
    >
    typealias Source = Producer.Source

    /// Whether the connection is read. Used on its event loop only.
    final class Flow {
        var context: ChannelHandlerContext?
        var isHeld = false
        var isReadWanted = false

        fileprivate func goOn() {
            isHeld = false
            guard isReadWanted else { return }
            isReadWanted = false
            context?.read()
        }
    }

    /// Lets the connection be read again once the body is taken, or nobody wants it any more.
    struct Delegate: NIOAsyncSequenceProducerDelegate, Sendable {
        let flow: NIOLoopBound<Flow>

        func produceMore() { goOn() }
        func didTerminate() { goOn() }

        private func goOn() {
            flow.eventLoop.execute { flow.value.goOn() }
        }
    }

    /// A request body that signals when reading starts.
    struct Awaited: AsyncSequence, Sendable {
        let body: Producer
        let isAsked: @Sendable () -> Void

        func makeAsyncIterator() -> Producer.AsyncIterator {
            isAsked()
            return body.makeAsyncIterator()
        }
    }

    static func make(flow: NIOLoopBound<Flow>) -> (body: Producer, source: Source) {
        let made = Producer.makeSequence(
            elementType: ByteBuffer.self, failureType: (any Error).self,
            backPressureStrategy: .init(
                lowWatermark: watermarks.low, highWatermark: watermarks.high),
            finishOnDeinit: false, delegate: Delegate(flow: flow))
        return (made.sequence, made.source)
    }
}
