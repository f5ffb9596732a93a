//go:build linux

// Command micro measures single parts of the gateway against what they stand on, and what the whole
// process holds in memory while Kafka is away. What it writes into benchmarks/results is
// nobody's hand: a table, the commands behind it, and the raw lines.
//
//	micro parts    (the default) runs the benchmarks that have a baseline in the same run
//	micro memory   runs the gateway without Kafka under a steady load and samples its memory
//
// The benchmarks are ordinary ones of their packages, so that each can be run alone; here they
// are only run one after the other and put into tables. In each a round gives the thing and
// its baseline a turn; a figure is the median of the rounds, a ratio has its least and most
// in brackets. Ratios say more than the rest: the machine is in both of their sides.
package main
