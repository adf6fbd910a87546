import Model
import Sidecar

/// Rows of a batch that point at each other, such as a → b → a: no order has every parent before
/// its child.
///
/// Over foreign keys that wait for the commit they can be applied together or not at all.
struct RowCycles: Sendable {
    /// References to rows that the batch itself brings, but later, with the first change that does.
    let promised: [ParentReference: Int]
    /// Stretches of the batch, as indexes into it, each with all of a cycle. In order, without
    /// overlaps.
    let spans: [Range<Int>]
    /// The first change of the batch that brings each row; none where no tables can make a cycle.
    private let providers: [ParentReference: Int]

    init(_ changes: ArraySlice<Change>, in schema: UploadSchema) {
        var promised: [ParentReference: Int] = [:]
        var spans: [Range<Int>] = []
        let providers = schema.mayHaveCycles ? Self.providers(changes) : [:]
        for position in changes.indices where !providers.isEmpty {
            for need in changes[position].needs {
                guard let provider = providers[need], provider > position,
                    schema.foreignKeys[need.foreignKey].key.isDeferrable
                else { continue }
                promised[need] = provider
                var span = position..<provider + 1
                while let last = spans.last, last.overlaps(span) {
                    span =
                        min(
                            last.lowerBound, span.lowerBound)..<max(
                            last.upperBound, span.upperBound)
                    spans.removeLast()
                }
                spans.append(span)
            }
        }
        self.promised = promised
        self.spans = spans
        self.providers = providers
    }

    /// Where to part a stretch of several changes in two: near its middle, and within a cycle only
    /// if there is no other place.
    func middle(of range: Range<Int>) -> Int {
        let middle = range.lowerBound + range.count / 2
        guard let span = span(of: middle), span.lowerBound < middle else { return middle }
        if span.lowerBound > range.lowerBound { return span.lowerBound }
        return span.upperBound < range.upperBound ? span.upperBound : middle
    }

    /// The stretch that a change lies in.
    func span(of position: Int) -> Range<Int>? { spans.first { $0.contains(position) } }

    /// The stretch that a change lies in and points into: parted from it, the change may lack a
    /// parent.
    func span(neededBy change: Change, at position: Int) -> Range<Int>? {
        guard let span = span(of: position) else { return nil }
        let pointsIntoIt = change.needs.contains { need in
            providers[need].map(span.contains) ?? false
        }
        return pointsIntoIt ? span : nil
    }

    private static func providers(_ changes: ArraySlice<Change>) -> [ParentReference: Int] {
        var providers: [ParentReference: Int] = [:]
        for position in changes.indices where changes[position].operation != .delete {
            for reference in changes[position].provides where providers[reference] == nil {
                providers[reference] = position
            }
        }
        return providers
    }
}
