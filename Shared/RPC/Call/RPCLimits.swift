/// Every bound of the RPC layer. The defaults suit both ends; tests shrink them.
package struct RPCLimits: Hashable, Sendable {
    /// Bytes of a frame. A body of 16 MiB fits with room for its header.
    package var maximumFrameBytes = 17 << 20
    /// Calls a server works on at once, over all its connections. Over it: `resourceExhausted`.
    package var maximumCallsInFlight = 1024
    /// Calls of a client that wait for a replica while there is none. Over it: `unavailable`.
    package var maximumWaitingCalls = 4096
    /// Parts of a streamed answer that are under way before the reader has taken one.
    package var streamCredit: UInt32 = 8
    /// Bytes that one end holds for a connection. Over it a server stops reading from the connection,
    /// and a client prefers others.
    package var outboundHighWatermark = 1 << 20

    /// The most connections of a client to each replica, each on an event loop of its own. A call
    /// from one of these loops uses the loop's connection.
    package var connectionsPerReplica = 1

    /// How often a client looks into the socket directory.
    package var scanInterval: Duration = .milliseconds(200)
    /// Each connection is pinged this often, with and without calls in flight.
    package var pingInterval: Duration = .milliseconds(300)
    /// A connection without a PONG for so long gets calls only while no other does. Two pings.
    package var silentAfter: Duration = .milliseconds(600)
    /// A connection on which nothing at all has come for so long is given up. Three pings.
    package var ejectAfter: Duration = .milliseconds(900)
    /// The status of a replica is believed for so long after the ping that confirmed it.
    package var statusMaximumAge: Duration = .seconds(1)
    /// Time for a new connection to be accepted and to answer its first ping.
    package var connectTimeout: Duration = .seconds(1)
    /// Wait after a failed connection attempt; doubles up to the maximum, with jitter.
    package var minimumBackoff: Duration = .milliseconds(50)
    /// See `minimumBackoff`.
    package var maximumBackoff: Duration = .seconds(2)
    /// How long a call waits for a replica when there is none: the restart of a sole replica.
    package var replicaWait: Duration = .seconds(2)
    /// Longest time for calls in flight to end once a server shuts down. Each has until its own deadline; only one
    /// whose deadline is later is cancelled. Less than the process has (`ServiceProcess.drainTimeout`).
    package var drainTimeout: Duration = .seconds(31)
    /// How long a server that shuts down serves calls that crossed its GO_AWAY; later ones get `draining`.
    package var crossingTime: Duration = .milliseconds(500)
    /// How long a server that shuts down leaves it to the client to close a connection without calls.
    package var closingPatience: Duration = .milliseconds(250)
    /// Who may be at the other end of a socket.
    package var peers = SocketPeers.ownUser

    package init() {}
}

extension RPCLimits {
    /// Deadlines are checked this often, while there are calls in flight.
    static let sweepInterval: Duration = .milliseconds(20)
    /// Silence is checked this often while a PONG is late. Otherwise once per ping.
    static let latePongInterval: Duration = .milliseconds(50)
}
