import Model
import Synchronization
import Telemetry

/// What is known of groups beyond one of them.
final class UploadGroups: Sendable {
    private static let sizes: [Double] = [2, 4, 8, 16, 32, 64]

    private let exclusions = Mutex(GroupExclusions())
    private let sizes: Histogram
    private let broken: Counter

    init(_ metrics: MetricsRegistry) {
        sizes = metrics.histogram(
            "oversync_upload_group_uploads", "Uploads that shared a transaction",
            buckets: Self.sizes)
        broken = metrics.counter(
            "oversync_upload_groups_broken_total",
            "Groups of uploads that failed, and whose uploads were written alone")
    }

    /// Groups that were written, each in one transaction.
    var writtenGroups: Int { sizes.count() }
    /// Groups that failed.
    var brokenGroups: Int { broken.value() }

    /// Whether an upload of this device may share a transaction now.
    func admits(_ upload: QueuedUpload) -> Bool {
        exclusions.withLock {
            !$0.isExcluded(upload.device, of: upload.user, now: .now)
        }
    }

    func countWritten(_ uploads: Int) { sizes.observe(Double(uploads)) }

    func countBroken() { broken.add() }

    /// Leaves the devices of a group out that has failed.
    ///
    /// - Parameter culprits: those whose uploads failed by themselves, too.
    func exclude(_ culprits: [QueuedUpload], of group: [QueuedUpload]) {
        let now = ContinuousClock.now
        exclusions.withLock { exclusions in
            for upload in culprits {
                exclusions.exclude(
                    upload.device, of: upload.user, for: GroupExclusions.pauseOfCulprits, now: now)
            }
            guard culprits.isEmpty else { return }
            for upload in group {
                exclusions.exclude(
                    upload.device, of: upload.user, for: GroupExclusions.pauseOfAll, now: now)
            }
        }
    }
}
