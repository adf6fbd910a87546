import Model

extension ScopeHeads {
    /// What is known of one user.
    struct Entry {
        var state: ScopeState?
        var access = DeviceAccess()
        /// The database was asked after this.
        var confirmed: Instant?
        var lastUse: Instant
        var waiters: [Int: Waiter] = [:]
        /// The highest sequence heard of in this history, also while no state is known.
        var told: Sequence64 = 0
        /// Of the change there; nil: not known.
        var toldTag: UInt64?
        /// When it became that.
        var toldAt: Instant?
        /// When the first change up to it was committed that was not known before; nil: not known.
        var committed: CommitTime?
        /// What `State.generation` was when the state was read; nil after Upload has announced more.
        var readIn: Int?
        /// The same for the last sequence alone.
        var grownIn: Int?
    }

    /// A caller that waits.
    struct Waiter {
        let beyond: Sequence64
        /// Of the change there; nil: not known.
        let tag: UInt64?
        let device: DeviceID
        let continuation: CheckedContinuation<Bool, Never>

        /// Whether the log has grown, or is another one.
        func isMet(by state: ScopeState?) -> Bool {
            guard let state else { return false }
            if state.head != beyond { return true }
            return tag.flatMap { tag in state.tag.map { $0 != tag } } ?? false
        }
    }

    /// A caller that waits, as its alarm knows it.
    struct Parked: Sendable {
        let id: Int
        let user: UserID
        weak let heads: ScopeHeads?
    }

    /// Everything that changes.
    struct State {
        var nextID = 0
        var entries: [UserID: Entry] = [:]
        var waiting = 0
        var isClosed = false
        /// Told when somebody begins to wait where nobody did.
        var arrival: AsyncStream<Void>.Continuation?
        /// Every user that is followed was asked for after this.
        var polled: Instant?
        /// The database's mark when it was last looked at; nil: nobody knows.
        var mark: String?
        /// Names the database that was looked at last.
        var database: String?
        /// Why the database could not be asked the last time, so that the log says it once.
        var trouble: String?
        /// Counts the marks: what was read in this generation is still so.
        var generation = 0
        var readings = Readings()

        /// The generation that a mark of the database belongs to. Of another database no tag is
        /// known.
        mutating func generation(of mark: String, in database: String) -> Int {
            readings.marks += 1
            if self.mark != mark || self.database != database { generation += 1 }
            if self.database != database, self.database != nil { forgetTags() }
            (self.mark, self.database) = (mark, database)
            return generation
        }

        private mutating func forgetTags() {
            var index = entries.startIndex
            while index != entries.endIndex {
                entries.values[index].toldTag = nil
                entries.values[index].state?.tag = nil
                entries.formIndex(after: &index)
            }
        }

        /// Users who are waited for, with what they are known to have, unless that was read in this
        /// generation.
        func awaited(_ generation: Int) -> [(UserID, Sequence64)] {
            entries.compactMap { user, entry in
                entry.waiters.isEmpty || entry.grownIn == generation ? nil : (user, entry.told)
            }
        }

        /// The states that were read in this generation are still the database's.
        ///
        /// - Returns: the users whose states are not known.
        mutating func confirm(_ asked: Instant, _ generation: Int) -> [UserID] {
            var unknown: [UserID] = []
            var index = entries.startIndex
            while index != entries.endIndex {
                if entries.values[index].readIn == generation {
                    entries.values[index].confirmed = asked
                    entries.values[index].access.confirm(asked)
                } else {
                    unknown.append(entries.keys[index])
                }
                entries.formIndex(after: &index)
            }
            return unknown
        }
    }

    /// How often the database was asked.
    struct Readings: Hashable, Sendable {
        /// Whether anything was written.
        var marks = 0
        /// For the states of users.
        var states = 0
        /// For the last sequences of users that are waited for.
        var grown = 0
    }
}
