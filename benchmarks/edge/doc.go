//go:build linux

// Command edge measures what those who mean harm cost the gateway, and what the honest notice
// of them: the real binary on loopback with Kafka away, at ack level disk. The variants of a
// part take turns in rounds on the same process, so that a busy machine hits thing and
// baseline alike; what is read is the ratio within a round, its median and its spread.
//
// # Parts
//
//   - fairness: 50 honest apps on schedule, 100 callbacks a second in sum; beside them one app
//     at 20 times its limit, or one source that guesses signatures in the names of the honest.
//   - refusals: the gateway's CPU for an answer of each kind (kinds.go), over that of an
//     accepted callback on a connection of the same kind. It fails where the gateway has a
//     reason that is neither measured nor listed as not causable.
//   - reload: 10,000 callbacks a second while a file of 5,000 apps is changed every second, and
//     reloaded as SIGHUP asks.
//   - slow-loris: honest callbacks beside thousands of connections that send byte by byte.
//
// # Clients
//
// One thread and one epoll instance drive all connections of a flow (client.go). Honest
// callbacks come on schedule, and latency counts from when one was due, whether or not a
// connection was free then. Those who are hostile come from another address of the loopback.
//
// # Limits
//
// Clients and gateway share the machine's processors: a hostile closed loop takes as much as
// the gateway lets it. A refusal that closes its connection is held to an accepted callback
// whose connection the client closes.
package main
