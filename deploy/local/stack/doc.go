// Package stack runs all of Tidegate on one machine: a Kafka broker, the topics, and the
// real gateway and consumer binaries as child processes. It is what deploy/local shows to a
// person and what the acceptance tests and benchmarks run against.
//
// One machine, not for production: the embedded broker (franz-go's kfake) is one process
// with one copy of the data, and the store is SQLite.
//
// # Life
//
// Start brings the parts up one after another, each when the one before is ready: broker,
// topics, gateway, consumer. Stop ends them in an order in which nothing is lost: gateway
// (it drains its journal to Kafka), consumer, broker. Data stay in the data folder, so a
// stack that is started again on it goes on where it was.
//
// Nothing is restarted silently. A child that exits unasked is reported by Stack.Wait, and
// the stack is over; what a test does on purpose (Kill, Pause, Stop, Start) goes through
// Child and is not reported.
//
// # Ownership
//
// Each Child is a process group of its own, so that a Ctrl-C at the terminal reaches only
// the owner of the stack, who stops the children in order. On Linux the kernel kills a
// child whose owner was killed. The settings in this process's environment that begin with
// TIDEGATE_GATEWAY_ or TIDEGATE_CONSUMER_ are kept from the children: what they run with is
// in Options only.
package stack
