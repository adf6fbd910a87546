/// How many changes go into one upload: halved when the server finds it too much, grown again after.
struct BatchPacer {
    let largest: Int
    private(set) var limit: Int

    init(largest: Int) {
        self.largest = max(1, largest)
        limit = self.largest
    }

    /// - Returns: false if one change was too much already.
    mutating func shrink(sent: Int) -> Bool {
        limit = max(1, min(limit, sent) / 2)
        return sent > 1
    }

    mutating func grow() { limit = min(largest, limit * 2) }
}
