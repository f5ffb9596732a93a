package acceptance

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// readAlarm reads a good body on its own account: the tests share no decoder with the
// consumer.
func readAlarm(body []byte) (schema.QuotaAlarm, error) {
	var fields struct {
		QuotaUsed, Quota int64
		EventTime        json.RawMessage
	}
	if err := json.Unmarshal(body, &fields); err != nil {
		return schema.QuotaAlarm{}, fmt.Errorf("body %q: %w", body, err)
	}
	alarm := schema.QuotaAlarm{QuotaUsed: fields.QuotaUsed, Quota: fields.Quota}
	if len(fields.EventTime) == 0 {
		return alarm, nil
	}
	text := string(fields.EventTime)
	if text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	milliseconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return alarm, fmt.Errorf("body %q: %w", body, err)
	}
	alarm.EventTime = time.UnixMilli(milliseconds).UTC()
	return alarm, nil
}
