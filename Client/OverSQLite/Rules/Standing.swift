import Foundation

/// The server's answer to `/sync/bootstrap`: what it knows about this device and the user's log.
struct Standing: Hashable, Sendable {
    /// Whether the server has ever received a change from this device.
    var isKnownSource: Bool
    /// The lowest change id that the server has not seen from this device.
    var nextChangeID: Int64
    /// The last sequence of the user's log.
    var highest: Int64
    /// The epoch of the server's log.
    var epoch: String
    /// What the server says about the pair that this device sent; nil if it says nothing.
    var history: String?
    /// The tables that the user may read; nil if the server does not say.
    var tables: TablesFingerprint?

    /// What the answer means when compared with the device's own state.
    enum Finding: Hashable {
        case asBefore
        /// The server knows changes that this device does not remember: its database is an older
        /// copy (P7).
        case deviceRestored
        /// The server has another epoch, or its log ends before the cursor (P7).
        case newHistory
        /// The server has lost changes in this epoch (P7). Where it cannot tell, the next download
        /// decides: that one looks first whether the device was away for too long.
        case otherHistory(HistoryFinding)
    }

    /// - Parameter told: the pair that the request sent. If the device has another one now, the
    ///   answer says nothing about that.
    func compare(with state: DeviceState, told: HistoryPair?) -> Finding {
        if let epoch = state.epoch, epoch != self.epoch { return .newHistory }
        if let told, told == state.history,
            let finding = history.flatMap(HistoryFinding.init(rawValue:)), finding == .forked
        {
            return .otherHistory(finding)
        }
        if max(state.cursor, state.resumeAt) > highest { return .newHistory }
        if isKnownSource, nextChangeID > state.nextChangeID { return .deviceRestored }
        return .asBefore
    }
}

extension Standing: Decodable {
    enum CodingKeys: String, CodingKey {
        case isKnownSource = "known_source"
        case nextChangeID = "next_change_id"
        case highest = "highest_server_seq"
        case epoch, history
    }

    /// What is wrong with the answer.
    struct Flaw: Error {
        let description: String
    }

    init(from decoder: any Decoder) throws {
        let answer = try decoder.container(keyedBy: CodingKeys.self)
        func number(_ key: CodingKeys, in range: ClosedRange<Int64>) throws -> Int64 {
            let number = try answer.decode(Int64.self, forKey: key)
            guard range.contains(number) else {
                throw Flaw(
                    description: "\(key.rawValue) is \(number): it must be between "
                        + "\(range.lowerBound) and \(range.upperBound)")
            }
            return number
        }
        let epoch = try answer.decode(String.self, forKey: .epoch)
        // Every later request tells it, and the server refuses all others.
        guard UUID(uuidString: epoch) != nil else { throw Flaw(description: "epoch is no UUID") }
        self.init(
            isKnownSource: try answer.decode(Bool.self, forKey: .isKnownSource),
            nextChangeID: try number(.nextChangeID, in: ProtocolNumber.nextChangeIDs),
            highest: try number(.highest, in: ProtocolNumber.range),
            epoch: epoch,
            history: try answer.decodeIfPresent(String.self, forKey: .history))
    }
}

/// Why a device rereads the log from its start.
public enum RereadReason: String, Sendable, Hashable {
    /// The device was away for so long that the server no longer keeps deletes it has not seen.
    case historyPruned = "history_pruned"
    /// The server has lost changes that this device knows of, in a restore or a failover, or has
    /// another database. Also after a repair of the library's tables that cannot tell.
    case newHistory = "new_history"
    /// This device's database is an older copy: the server has changes from this device that the
    /// database does not contain.
    case deviceRestored = "device_restored"
}

/// The result of rereading the log.
public struct RereadReport: Sendable, Hashable {
    /// Why the log was reread.
    public let reason: RereadReason
    /// The number of rows that the server did not have, or had only in an older version. They are
    /// sent again.
    public let resentRows: Int
    /// The number of rows removed from this device because the server had deleted them.
    public let removedRows: Int
}
