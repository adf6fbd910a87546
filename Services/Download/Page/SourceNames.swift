import Model
import Postgres
import Sidecar

/// The names of the devices that a page's changes came from, by their numbers.
///
/// A device's number and name are never changed while its user's scope exists, so names may be read
/// later than the page.
struct SourceNames {
    /// Names that come along with each page. Few users have more devices; for those a page may need
    /// a statement more.
    static let alongWithPage = 16

    private(set) var names: [Int32: String] = [:]
    /// Numbers that were asked for, but belong to no device.
    private var nameless: Set<Int32> = [ChangeAppend.sourceNumber]
    /// These are all of the user's devices.
    private let isComplete: Bool

    /// - Parameters:
    ///   - sources: what came along.
    ///   - limit: how many would have.
    init(_ sources: some Sequence<(number: Int32, device: String)>, limit: Int = alongWithPage) {
        for (number, device) in sources { names[number] = device }
        isComplete = names.count < limit
    }

    /// Whether the number's name is here, or it has none.
    func covers(_ number: Int32) -> Bool {
        isComplete || names[number] != nil || nameless.contains(number)
    }

    /// The numbers in rows of a page that are not covered, in ascending order.
    func missing(in rows: Rows<PageRow>) throws(PostgresError) -> [Int32] {
        if isComplete { return [] }
        var missing: Set<Int32> = []
        var rows = rows
        while let row = try rows.next() {
            if !covers(row.origin.source) { missing.insert(row.origin.source) }
        }
        return missing.sorted()
    }

    mutating func learn(_ name: String?, of number: Int32) {
        names[number] = name
        if name == nil { nameless.insert(number) }
    }

    /// Leaves the device's number without a name.
    mutating func hide(_ device: DeviceID) {
        for (number, name) in names where DeviceID(name) == device { names[number] = "" }
    }
}
