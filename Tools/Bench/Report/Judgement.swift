/// One thing a scenario is held against. The benchmark reports it; `siege` fails by it.
struct Judgement: Codable, Hashable, Sendable {
    enum Bound: Codable, Hashable, Sendable {
        case atLeast(Double)
        case atMost(Double)

        var value: Double {
            switch self {
            case .atLeast(let value), .atMost(let value): value
            }
        }
    }

    /// How what was seen compares to the floor.
    enum Form: String, Codable, Sendable {
        /// Ours by the floor.
        case ratio
        /// Ours less the floor.
        case difference
        /// Ours, there being no floor.
        case plain
    }

    /// What is compared, such as `changes/s`.
    let what: String
    let form: Form
    let ours: Double
    /// Nil where the bound stands by itself.
    let floor: Double?
    let bound: Bound

    static func ratio(_ what: String, _ ours: Double, to floor: Double, _ bound: Bound) -> Judgement
    {
        Judgement(what: what, form: .ratio, ours: ours, floor: floor, bound: bound)
    }

    static func difference(
        _ what: String, _ ours: Double, from floor: Double, _ bound: Bound
    ) -> Judgement {
        Judgement(what: what, form: .difference, ours: ours, floor: floor, bound: bound)
    }

    static func plain(_ what: String, _ ours: Double, _ bound: Bound) -> Judgement {
        Judgement(what: what, form: .plain, ours: ours, floor: nil, bound: bound)
    }

    /// What the bound is about.
    var value: Double {
        guard let floor else { return ours }
        switch form {
        case .ratio: return floor == 0 ? 0 : ours / floor
        case .difference: return ours - floor
        case .plain: return ours
        }
    }

    var isReached: Bool {
        switch bound {
        case .atLeast(let least): value >= least
        case .atMost(let most): value <= most
        }
    }

    /// How far along the value is, 1 being the bound and more being better. Nil where no such share makes sense.
    var shareOfBound: Double? {
        switch bound {
        case .atLeast(let least): least > 0 ? value / least : nil
        case .atMost(let most): value > 0 && most > 0 ? most / value : nil
        }
    }
}

/// What became of one scenario.
struct ScenarioResult: Codable, Sendable {
    let id: String
    let work: String
    /// What is counted: changes, rows, requests.
    let unit: String
    /// Whether units a second say anything.
    var hasRate = true
    var ours: [Measurement] = []
    /// In alternation with ours; empty where there is nothing to measure against.
    var floor: [Measurement] = []
    var judgements: [Judgement] = []
    /// Facts that no column holds.
    var notes: [String] = []
    /// Largest share of the machine's processors that made the load took in one measurement, 0 to 1; nil where
    /// nothing but the load was to be measured.
    var generatorShare: Double?
    /// The load, not the servers, limited what was seen: the numbers say nothing.
    var isGeneratorBottleneck = false

    init(_ scenario: any Scenario) {
        id = scenario.id
        work = scenario.work
        unit = scenario.unit
    }

    /// Looks at the share that the load itself took.
    mutating func judgeGenerator(cores: Int) {
        generatorShare = ours.map { GeneratorShare.share($0, cores: cores) }.max()
        isGeneratorBottleneck = ours.contains { GeneratorShare.isBottleneck($0, cores: cores) }
    }

    /// Adds a judgement when both sides were measured.
    mutating func judge(
        _ what: String, _ ours: Double?, to floor: Double?, _ bound: Judgement.Bound
    ) {
        guard let ours, let floor else { return }
        judgements.append(.ratio(what, ours, to: floor, bound))
    }
}
