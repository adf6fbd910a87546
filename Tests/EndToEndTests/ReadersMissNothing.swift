import GapCheck
import Testing

@Suite("Readers miss nothing", .serialized, .timeLimit(.minutes(5)))
struct ReadersMissNothing {
    /// ```
    /// 8 devices, back end   write ─ write ─ 503/again ─ write ─ … ─ the last change
    /// upload, download      ─── kill -9 ┄ restarted ── kill -9 ┄ restarted ────────
    /// PostgreSQL            ──────── connections cut ──────── connections cut ─────
    /// readers               page ─ page ─ again ─ page ─ … ───────────── the end ─ equal
    /// ```
    @Test(
        "P3, S2: while devices and a back end write and processes are killed, readers by cursor, long poll and watch get every change once, in order"
    )
    func killed() async throws {
        try await withStack({ GapCheck.stackPlan(in: $0) }) { stack in
            var plan = GapCheck.Plan()
            plan.changes = 3000
            plan.kills = true
            let report = try await GapCheck(plan, stack: stack) { _ in }.run()
            let told = (report.lines + report.faults).joined(separator: "\n")
            #expect(report.isClean, "\(told)")
            #expect(report.changes > 3000)
            #expect(report.kills >= 4, "\(told)")
        }
    }
}
