// Package proof is the table of what the scenarios of benchmarks/acceptance came to: each
// compares its ledger with Kafka and adds one row, and the table is made of the rows.
//
// # Files
//
// Rows are kept in rows.jsonl in a folder, one JSON object a line. A scenario writes one line
// when it begins and one when it ended; of a test's lines the last counts. So a scenario that
// never ended, since the process of the tests did not, is in the table as FAILED.
package proof
