#if canImport(Observation)
    import Observation
    import Synchronization

    /// The status as an object that views observe, on the main actor as they are.
    ///
    /// ```swift
    /// struct SyncLabel: View {
    ///     let sync: ObservableSyncStatus  // engine.observableStatus
    ///     var body: some View { Text("\(sync.pendingCount) to send") }
    /// }
    /// ```
    /// Every property of `SyncStatus` is one of this object, too. Of changes that follow each other
    /// quickly a view may see the last alone. Code outside of the main actor follows
    /// `statusUpdates`.
    @MainActor @Observable @dynamicMemberLookup
    public final class ObservableSyncStatus {
        /// The status as of the main actor's last turn.
        public private(set) var status: SyncStatus

        init(_ status: SyncStatus) { self.status = status }

        /// A property of the status.
        public subscript<Value>(dynamicMember path: KeyPath<SyncStatus, Value>) -> Value {
            status[keyPath: path]
        }

        /// Takes a status over, and tells observers if it is another one.
        func update(to newest: SyncStatus) {
            if newest != status { status = newest }
        }
    }

    /// Brings the status to the main actor once somebody observes it there, newest first and only
    /// once a turn.
    final class ObservedStatus: Sendable {
        private struct State {
            var object: ObservableSyncStatus?
            var isScheduled = false
        }

        private let state = Mutex(State())

        /// The one object; from its making on it is kept up to date.
        @MainActor func object(of board: StatusBoard) -> ObservableSyncStatus {
            if let object = state.withLock({ $0.object }) { return object }
            let object = ObservableSyncStatus(board.status)
            state.withLock { $0.object = object }
            // What came between the two lines above.
            object.update(to: board.status)
            return object
        }

        /// The board's status has changed.
        func changed(_ board: StatusBoard) {
            let object = state.withLock { state -> ObservableSyncStatus? in
                guard let object = state.object, !state.isScheduled else { return nil }
                state.isScheduled = true
                return object
            }
            guard let object else { return }
            Task { @MainActor in
                state.withLock { $0.isScheduled = false }
                object.update(to: board.status)
            }
        }
    }
#endif
