import Synchronization

extension Drain {
    /// An admitted request. The gateway does not end before it is released: the writer of the
    /// answer keeps it until the last byte is sent.
    final class Admission: Sendable {
        /// What is known of the request's client.
        enum Client: Hashable {
            case here
            /// It says no more. It may have gone, or listen still.
            case silent
            /// Its connection or stream has ended.
            case gone
        }

        private struct Kept {
            var bytes: HeldBytes?
            var client = Client.here
            var hear: (@Sendable (Client) -> Void)?
        }

        private let id: Int
        private let drain: Drain
        private let kept = Mutex(Kept())

        init(id: Int, drain: Drain) {
            self.id = id
            self.drain = drain
        }

        var isDraining: Bool { drain.isDraining }
        var client: Client { kept.withLock { $0.client } }

        /// Keeps the request's bytes for as long as the admission is kept.
        func keep(_ bytes: HeldBytes) { kept.withLock { $0.bytes = bytes } }

        /// The request waits for something that a drain gives up.
        ///
        /// - Parameter giveUp: called at most once, at once if a drain has begun.
        func begin(
            _ activity: DrainMachine.Activity, giveUp: (@Sendable () -> Void)? = nil
        ) {
            let goesOn = drain.state.withLock { state in
                let goesOn = state.machine.goOn(id, with: activity, now: .now)
                if goesOn, let giveUp { state.interruptions[id] = giveUp }
                return goesOn
            }
            if !goesOn { giveUp?() }
        }

        /// What it waited for is there. Not called when it was given up, or failed.
        func goOn() {
            kept.withLock { $0.hear = nil }
            drain.state.withLock { state in
                state.interruptions[id] = nil
                _ = state.machine.goOn(id, with: .working, now: .now)
            }
        }

        /// Calls `hear` when the client leaves, until `goOn`; at once if it has left already. For
        /// waits that only this client needs. Other work, such as an upload, goes on without it.
        func whenClientLeaves(_ hear: @escaping @Sendable (Client) -> Void) {
            let client = kept.withLock { kept in
                kept.hear = hear
                return kept.client
            }
            if client != .here { hear(client) }
        }

        /// The client is no longer what it was.
        func clientIs(_ client: Client) {
            let hear: (@Sendable (Client) -> Void)? = kept.withLock { kept in
                guard kept.client != .gone else { return nil }
                kept.client = client
                return kept.hear
            }
            hear?(client)
        }

        deinit {
            drain.state.withLock { state in
                state.interruptions[id] = nil
                state.machine.requestEnded(id)
            }
            if drain.isDraining { drain.wakeUp.yield() }
        }
    }
}
