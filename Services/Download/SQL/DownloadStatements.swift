import Postgres
import Sidecar

/// The statements of a download. Those of a page run in one round trip and see one state of the
/// database: it holds everything up to the last sequence that was read before it (D1), and no
/// delete is missing above the floor.
///
/// They only read: the service's role may do nothing else, and a hot standby would answer them too.
///
/// Each that reads a user's rows names its scope by number (`$1`) and user (`$2`), and finds
/// nothing if the two do not belong together (`NamedScope`). `FindScope` goes by the user alone;
/// `ReadHeads` and `ReadGrown` concern the scopes of all users who are followed.
package enum DownloadStatements {
    /// Without it, each statement would see what was committed before that statement: compaction
    /// could remove deletes from the page after the floor was read. The level is set for the
    /// transaction, so that it also holds behind a transaction pooler.
    package static let begin = Statement(
        name: "download_begin", sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    package static let commit = Statement(name: "download_commit", sql: "COMMIT")

    /// All of them, for the tests that run each on a real server.
    package static let all = [
        begin, commit, FindScope.statement, ReadScope.statement, ReadPage.statement,
        ReadWholePage.statement,
        ReadLargeRows.statement, ReadAtomicUpload.statement, ReadSourceNames.statement,
        ReadHeads.statement,
        ReadMark.statement, ReadServer.statement, ReadGrown.statement,
        ReadBootstrap.statement,
        ReadHistory.statement, ReadDigests.statement, ReadBuckets.statement,
        ReadTerms.statement, ReadNewestChanges.statement,
    ]
}
