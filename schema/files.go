package schema

import "embed"

// Files holds the machine-readable contract as published beside this package:
//
//	callback.schema.json                    headers of a raw record
//	quota-alarm.schema.json                 value of im.alarms.raw, where it is well-formed
//	enriched-alarm.v1.schema.json           value of im.alarms
//	enriched-alarm.v1.headers.schema.json   headers of im.alarms
//	dead-letter.schema.json                 headers that im.alarms.dlq adds
//	openapi.yaml                            the callback and its answers
//	asyncapi.yaml                           the four topics
//
// The JSON Schemas are of draft 2020-12 and refer to nothing outside of themselves.
//
//go:embed *.schema.json openapi.yaml asyncapi.yaml
var Files embed.FS
