import GRDB

/// Assigns a database that belongs to no user to its first user.
struct SignIn {
    let db: Database
    let catalog: DeviceCatalog

    func take(_ userID: String, _ localData: LocalData, _ outcomes: OutcomeWatch) throws {
        try ChangeLog(db: db, catalog: catalog).fold()
        switch localData {
        case .merge: break
        case .keep:
            outcomes.discardAll(with: db)
            try PendingQueue(db: db).removeAll()
            try AbsentTables(db: db).removeAll()
        case .discard:
            outcomes.discardAll(with: db)
            try SignOut(db: db, catalog: catalog).removeEverything()
        }
        try DeviceStateTable(db: db).setUser(userID)
    }
}
