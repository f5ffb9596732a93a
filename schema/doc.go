// Package schema is Tidegate's contract in Kafka: what other teams build on.
//
// It names the topics and the headers, and holds the types that travel in them:
//
//	im.alarms.raw, im.callbacks.raw   Callback, as a CloudEvents 1.0 binary-mode Record
//	im.alarms                         EnrichedAlarm v1, as JSON with CloudEvents headers
//	im.alarms.dlq                     the refused Record itself, with the headers of a DeadLetter
//
// The same contract stands beside this file as JSON Schema (*.schema.json), OpenAPI
// (openapi.yaml, the callback that the gateway takes) and AsyncAPI (asyncapi.yaml, the
// topics); tests hold them equal to the Go types.
//
// Within v1 fields are only added and enumerations may grow: a reader ignores unknown
// fields, unknown headers and unknown ce_type values. The package uses the standard
// library only and does no I/O, so importing it costs a downstream consumer nothing.
package schema
