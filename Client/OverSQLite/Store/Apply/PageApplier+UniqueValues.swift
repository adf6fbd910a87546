extension PageApplier {
    /// Writes the held rows that only wait for each other's unique values.
    mutating func exchangeUniqueValues() throws {
        let holdBack = holdBack
        for table in catalog.tables where !table.uniqueIndexes.isEmpty {
            let exchange = UniqueExchange(
                db: db, tables: tables, table: table,
                isLeftOut: { holdBack.contains(TableKey(tableID: table.id, key: $0)) })
            let result = try exchange.run()
            summary.applied += result.written.count
            summary.reports += result.reports
            for key in result.written {
                retried.upserts.insert(TableKey(tableID: table.id, key: key))
            }
        }
    }
}
