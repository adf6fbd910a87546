import Model
import Synchronization
import Telemetry

/// What is known of groups beyond one of them.
final class UploadGroups: Sendable {
    private static let sizes: [Double] = [2, 4, 8, 16, 32, 64]

    let exclusions = Mutex(GroupExclusions())
    private let sizes: Histogram
    private let broken: Counter

    init(_ metrics: MetricsRegistry) {
        sizes = metrics.histogram(
            "oversync_upload_group_uploads", "Uploads that shared a transaction",
            buckets: Self.sizes)
        broken = metrics.counter(
            "oversync_upload_groups_broken_total",
            "Groups of uploads whose transaction failed; their uploads were written alone, unless "
                + "the database could not be reached")
    }

    /// Groups that were written, each in one transaction.
    var writtenGroups: Int { sizes.count() }
    /// Groups whose transaction failed.
    var brokenGroups: Int { broken.value() }

    /// Whether an upload of this device may share a transaction now.
    func admits(_ upload: QueuedUpload) -> Bool {
        exclusions.withLock {
            !$0.isExcluded(upload.device, of: upload.user, now: .now)
        }
    }

    /// A group was written.
    func noteWritten(_ group: [QueuedUpload]) {
        sizes.observe(Double(group.count))
        guard let user = group.first?.user else { return }
        exclusions.withLock { $0.noteWritten(of: user) }
    }

    func countBroken() { broken.add() }

    /// Leaves the devices of a group out that has failed.
    ///
    /// - Parameter culprits: those whose uploads failed by themselves, too. Without any, the user
    ///   has no groups for a while.
    func exclude(_ culprits: [QueuedUpload], of group: [QueuedUpload]) {
        let now = ContinuousClock.now
        exclusions.withLock { exclusions in
            for upload in culprits {
                exclusions.exclude(
                    upload.device, of: upload.user, for: GroupExclusions.pauseOfCulprits, now: now)
            }
            guard culprits.isEmpty, let user = group.first?.user else { return }
            exclusions.pause(user, now: now)
        }
    }
}
