#if canImport(Observation)
    import Observation
    import Synchronization

    /// The status as an object that views can observe on the main actor.
    ///
    /// ```swift
    /// struct SyncLabel: View {
    ///     let sync: ObservableSyncStatus  // engine.observableStatus
    ///     var body: some View { Text("\(sync.pendingCount) to send") }
    /// }
    /// ```
    /// Every property of `SyncStatus` is also a property of this object. If the status changes
    /// several times quickly, a view may see only the last value. Outside the main actor, use
    /// `statusUpdates`.
    @MainActor @Observable @dynamicMemberLookup
    public final class ObservableSyncStatus {
        /// The status at the main actor's last update.
        public private(set) var status: SyncStatus

        init(_ status: SyncStatus) { self.status = status }

        /// A property of the status.
        public subscript<Value>(dynamicMember path: KeyPath<SyncStatus, Value>) -> Value {
            status[keyPath: path]
        }

        /// Takes over a new status and notifies observers if it differs.
        func update(to newest: SyncStatus) {
            if newest != status { status = newest }
        }
    }

    /// Passes the newest status to the main actor, at most once per turn, as soon as someone
    /// observes it there.
    final class ObservedStatus: Sendable {
        private struct State {
            var object: ObservableSyncStatus?
            var isScheduled = false
        }

        private let state = Mutex(State())

        /// The one object. It is kept up to date from its creation on.
        @MainActor func object(of board: StatusBoard) -> ObservableSyncStatus {
            if let object = state.withLock({ $0.object }) { return object }
            let object = ObservableSyncStatus(board.status)
            state.withLock { $0.object = object }
            // Catch a change between the two lines above.
            object.update(to: board.status)
            return object
        }

        /// Schedules an update of the object, if there is one.
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
