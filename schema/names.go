package schema

// Commands and CloudEvents types.
const (
	// CommandQuotaAlarm is the CallbackCommand of the daily group quota alarm
	// (vendor: trtc.io/document/57455).
	CommandQuotaAlarm = "Group.CallbackOnDailyGroupQuotaAlarm"

	// RawTypePrefix, followed by the CallbackCommand, is the ce_type of a raw record.
	RawTypePrefix = "com.tencent.im."

	// EnrichedAlarmType is the ce_type of an EnrichedAlarm of version 1.
	EnrichedAlarmType = "com.tencent.im.group.quotaalarm.enriched.v1"

	// EnrichedAlarmSource is the ce_source of every enriched alarm.
	EnrichedAlarmSource = "/tidegate/alarms"

	// EnrichedAlarmSchema is the ce_dataschema of every enriched alarm: the $id of
	// enriched-alarm.v1.schema.json.
	EnrichedAlarmSchema = "urn:tidegate:schema:enriched-alarm:v1"

	// RawSourcePrefix, followed by the SdkAppid, is the ce_source of a raw record.
	RawSourcePrefix = "/tencent-im/apps/"
)

// Header names that every record of ours may carry.
const (
	HeaderContentType   = "content-type"
	HeaderSpecVersion   = "ce_specversion"
	HeaderID            = "ce_id"
	HeaderSource        = "ce_source"
	HeaderType          = "ce_type"
	HeaderSubject       = "ce_subject"
	HeaderTime          = "ce_time"
	HeaderSequence      = "ce_sequence"
	HeaderGateway       = "ce_gateway"
	HeaderAuthenticated = "ce_authenticated"
	HeaderDataSchema    = "ce_dataschema"
)

// Header names of a dead letter: those of KIP-1191 and two of our own.
const (
	HeaderDeadTopic     = "__dlq.errors.topic"
	HeaderDeadPartition = "__dlq.errors.partition"
	HeaderDeadOffset    = "__dlq.errors.offset"
	HeaderDeadGroup     = "__dlq.errors.group"
	HeaderDeadMessage   = "__dlq.errors.message"
	HeaderDeadReason    = "dlq-reason"
	HeaderDeadFailedAt  = "dlq-failed-at"
	HeaderDeadSHA256    = "dlq-value-sha256" // only where the value itself was too large to keep
)

// Topics are the four topic names of one deployment.
type Topics struct {
	AlarmsRaw    string // quota alarms exactly as received, written by the gateway
	CallbacksRaw string // other routed callbacks exactly as received, written by the gateway
	Alarms       string // enriched alarms, written by the consumer
	AlarmsDLQ    string // dead letters, written by the consumer
}

// NewTopics returns the topic names with prefix put before each. The empty prefix
// gives the names of the contract.
func NewTopics(prefix string) Topics {
	return Topics{
		AlarmsRaw:    prefix + "im.alarms.raw",
		CallbacksRaw: prefix + "im.callbacks.raw",
		Alarms:       prefix + "im.alarms",
		AlarmsDLQ:    prefix + "im.alarms.dlq",
	}
}

// All returns the names in the order of the contract.
func (t Topics) All() []string {
	return []string{t.AlarmsRaw, t.CallbacksRaw, t.Alarms, t.AlarmsDLQ}
}
