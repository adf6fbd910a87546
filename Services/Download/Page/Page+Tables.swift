import Model
import Sidecar

extension Page {
    /// Tells the device which tables the page is of, if it asks. Older clients do not.
    mutating func tellTables(of catalog: Catalog?, to request: PageRequest) {
        guard request.readable != nil else { return }
        readable = catalog?.readableTables(to: request.caller).fingerprint
    }

    /// The page with what ``tellTables(of:to:)`` tells.
    ///
    /// - Parameter catalog: the one by which the rows were chosen, and no other: a device takes a
    ///   page for all that these tables have up to its end.
    func telling(_ catalog: Catalog, to request: PageRequest) -> Page {
        var page = self
        page.tellTables(of: catalog, to: request)
        return page
    }
}

extension Catalog {
    /// The tables whose changes a request gets; nil: of all.
    func tables(for request: PageRequest) -> [TableID]? {
        let visible = visibleTables(inSchema: request.schema, to: request.caller)
        guard let names = request.tables else { return visible }
        return (visible ?? all.map(\.id)).filter { id in
            identity(id).map { names.contains($0.name.table) } ?? false
        }
    }
}

extension CatalogSource {
    /// See ``catalog(for:told:by:)``.
    func catalog(
        for request: PageRequest, _ deadline: ContinuousClock.Instant
    ) async throws -> Catalog {
        try await catalog(for: request.caller, told: request.readable, by: deadline)
    }
}
