/// The order in which rows that exchange unique values are sent, if one upload cannot take all of
/// them: each finds its values free on the server, or freed by rows of the same upload.
///
/// Rows that wait for each other in a circle have no such order. So one of them is sent with other
/// values at first, and with its own after the rest:
///
/// ```
/// a ← b ← c ← a    a with a stand-in, b, c    and then, as an edit like any other, a
/// ```
enum SendOrder {
    enum Step: Hashable {
        /// The row as it is here.
        case whole(Int)
        /// The row as the server has it, with other values in the indexes.
        case standIn(Int)

        var place: Int {
            switch self {
            case .whole(let place), .standIn(let place): place
            }
        }
    }

    /// - Parameters:
    ///   - waits: for each row, by its place, the rows that have its values on the server.
    ///   - canStandIn: whether a row can be sent with other values.
    static func steps(
        _ waits: [Set<Int>], canStandIn: (Int) throws -> Bool
    ) rethrows -> [Step] {
        var waits = waits
        var waiting: [[Int]] = Array(repeating: [], count: waits.count)
        for place in waits.indices {
            waits[place].remove(place)
            for other in waits[place] { waiting[other].append(place) }
        }
        var steps: [Step] = []
        var isDone = Array(repeating: false, count: waits.count)
        var ready = waits.indices.reversed().filter { waits[$0].isEmpty }
        func finish(_ step: Step) {
            isDone[step.place] = true
            steps.append(step)
            for dependent in waiting[step.place].reversed() {
                waits[dependent].remove(step.place)
                if waits[dependent].isEmpty, !isDone[dependent] { ready.append(dependent) }
            }
        }
        var first = 0
        while true {
            while let place = ready.popLast() { finish(.whole(place)) }
            while first < isDone.count, isDone[first] { first += 1 }
            guard first < isDone.count else { return steps }
            let circle = circle(from: first, waits)
            guard let opener = try circle.first(where: canStandIn) else {
                return steps + waits.indices.filter { !isDone[$0] }.map(Step.whole)
            }
            finish(.standIn(opener))
        }
    }

    /// The rows of a circle that a row waits for, each waiting for the next one. Every row waits.
    private static func circle(from start: Int, _ waits: [Set<Int>]) -> [Int] {
        var path: [Int] = []
        var places: [Int: Int] = [:]
        var next: Int? = start
        while let place = next {
            if let begin = places[place] { return Array(path[begin...]) }
            places[place] = path.count
            path.append(place)
            next = waits[place].min()
        }
        return path
    }
}
