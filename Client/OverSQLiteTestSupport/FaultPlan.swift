/// The faults that a test has planned, and which of them no request has met.
struct FaultPlan: Sendable {
    private struct Planned {
        let endpoint: GatewayEndpoint
        let fault: NetworkFault
        var isMet = false

        var report: String {
            let request = endpoint == .any ? "request" : "request to /sync/\(endpoint.rawValue)"
            return "no \(request) met the fault \(fault.name)"
        }
    }

    private var once: [Planned] = []
    private var always: [Planned] = []

    mutating func next(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        once.append(Planned(endpoint: endpoint, fault: fault))
    }

    mutating func always(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        always.append(Planned(endpoint: endpoint, fault: fault))
    }

    mutating func clear() { self = FaultPlan() }

    /// The fault for a request to this path: the first one planned for the next request, otherwise
    /// the first one planned for all requests.
    mutating func fault(at path: String) -> NetworkFault? {
        if let index = once.firstIndex(where: { $0.endpoint.isMet(by: path) }) {
            return once.remove(at: index).fault
        }
        guard let index = always.firstIndex(where: { $0.endpoint.isMet(by: path) }) else {
            return nil
        }
        always[index].isMet = true
        return always[index].fault
    }

    /// One line for each fault that no request has met.
    var unused: [String] { (once + always.filter { !$0.isMet }).map(\.report) }
}
