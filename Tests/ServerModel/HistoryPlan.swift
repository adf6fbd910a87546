/// How much is tried by `make test`; the environment asks for more, `make model` for much more.
package enum HistoryPlan {
    /// Histories on a real PostgreSQL; `OVERSYNC_MODEL_SEEDS` asks for others, `OVERSYNC_MODEL_SEED` for one.
    package static let usualSeeds = 40
    package static let stepsPerSeed = 330
    /// Changes and writes that the usual seeds come to at least.
    package static let leastOperations = 100_000

    /// Histories with unique values and columns that round; the same settings ask for more.
    package static let usualStoredSeeds = 12
    package static let storedStepsPerSeed = 150

    /// Changes decided without PostgreSQL; `OVERSYNC_DECIDE_OPERATIONS` asks for others.
    package static let usualDecisions = 200_000
    package static let stepsPerDecideSeed = 40
}
