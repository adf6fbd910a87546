import Testing

@testable import Bench

@Suite struct StatisticsTests {
    @Test(
        "The median is the middle, or the mean of the two there",
        arguments: [([3, 1, 2], 2), ([4, 1, 3, 2], 2.5), ([5], 5)] as [([Double], Double)])
    func median(_ values: [Double], _ expected: Double) {
        #expect(Median.of(values) == expected)
    }

    @Test("Nothing has no median, and neither has what one measurement does not say")
    func noMedian() {
        #expect(Median.of([]) == nil)
        let silent = Measurement(units: 1, requests: 1, seconds: 1, latency: nil)
        #expect([silent].latency == nil)
        #expect([Measurement]().rate == nil)
    }

    @Test("Rates and costs are for each unit")
    func rates() {
        let measurement = Measurement(
            units: 4000, requests: 20, seconds: 2, latency: nil,
            usage: ProcessUsage(seconds: ["upload": 1, "postgres": 3, "auth": 0.001]))
        #expect(measurement.rate == 2000)
        #expect(measurement.cost(1) == 250)
        #expect([measurement].costs.map(\.process) == ["postgres", "upload"])
    }

    @Test("A ratio, a difference and a plain value are held against their bounds")
    func judgements() {
        let ratio = Judgement.ratio("changes/s", 60, to: 100, .atLeast(0.55))
        #expect(ratio.value == 0.6)
        #expect(ratio.isReached)
        #expect(!Judgement.ratio("changes/s", 54, to: 100, .atLeast(0.55)).isReached)
        let difference = Judgement.difference("ms", 9, from: 3, .atMost(5))
        #expect(difference.value == 6)
        #expect(!difference.isReached)
        #expect(Judgement.plain("dropped", 0, .atMost(0)).isReached)
        #expect(!Judgement.plain("dropped", 1, .atMost(0)).isReached)
    }

    @Test("How far a bound is reached grows with what is better")
    func shares() {
        #expect(Judgement.ratio("r", 110, to: 100, .atLeast(0.55)).shareOfBound == 2)
        #expect(Judgement.plain("kB", 60, .atMost(30)).shareOfBound == 0.5)
        #expect(Judgement.plain("dropped", 0, .atMost(0)).shareOfBound == nil)
    }

    @Test("The load is the bottleneck above half of the machine, or above all servers together")
    func bottleneck() {
        func measurement(generator: Double, servers: Double) -> Measurement {
            Measurement(
                units: 1, requests: 1, seconds: 10, latency: nil,
                usage: ProcessUsage(seconds: ["generator": generator, "gateway": servers]))
        }
        #expect(GeneratorShare.share(measurement(generator: 5, servers: 9), cores: 2) == 0.25)
        #expect(!GeneratorShare.isBottleneck(measurement(generator: 9, servers: 9), cores: 2))
        #expect(GeneratorShare.isBottleneck(measurement(generator: 11, servers: 15), cores: 2))
        #expect(GeneratorShare.isBottleneck(measurement(generator: 5, servers: 4), cores: 2))
    }
}
