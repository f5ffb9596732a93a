// Package edge is the gateway's listener on the internet: who is at the other end of a
// connection, and that nobody in between reads what it says.
//
// What it promises:
//
//   - Accept never waits for a client. PROXY header and TLS handshake are read in the
//     connection's own goroutine, by its first Read, and both together must be done within
//     HandshakeTimeout of the accept: then the connection is closed, whatever it waits for. It is
//     closed, too, when more has come than they can be long, so that it takes 56 KiB at most.
//   - A connection that does not get that far has said nothing: its first Read returns
//     io.EOF, so that it is no request and gets no answer. It is counted by its reason, and
//     not logged: whoever can connect could fill the log.
//   - A PROXY header is required of connections from the networks that it is expected from,
//     and of no other: what anyone else sends is read as TLS or HTTP, which it is not. A
//     connection of a front end without a header ends; it is never taken for one of the
//     front end itself.
//   - TLS is 1.2 or 1.3, HTTP/1.1 by ALPN, with Go's own cipher suites, curves and session
//     tickets. Certificate and key, and the client CA, are those that were in use when the
//     handshake began; a reload cuts nothing. Each new pair and each new CA begins with new
//     ticket keys, so that a session that an old CA let in cannot be resumed.
//   - A pair of which the two do not belong together, or that is half written, is not taken:
//     the one before goes on. An expired certificate is taken, as refusing it would refuse
//     every callback of those who do not look, and is warned of.
//
// A plain connection costs nothing here: Accept returns the *net.TCPConn itself.
package edge
