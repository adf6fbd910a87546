import Postgres
import Protos
import RPC

extension RPCRouter {
    /// Serves the `ReadPool` call, which administrators see in the console.
    package mutating func onReadPool(of pool: PostgresPool) {
        on(ProcessRPC.readPool) { _, _, _ in
            let statistics = pool.statistics
            var reply = ReadPoolReply()
            reply.inUse = Int32(statistics.inUse)
            reply.idle = Int32(statistics.idle)
            reply.connecting = Int32(statistics.connecting)
            reply.maximum = Int32(statistics.maximum)
            reply.waiting = Int32(clamping: statistics.waiting)
            return RPCReply(reply)
        }
    }
}
