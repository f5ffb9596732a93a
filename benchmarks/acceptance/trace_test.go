package acceptance

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/schema"
)

// A caller's trace is in the raw record and in the enriched event; a broken one is in neither,
// and the callback is taken all the same.
func TestTraceGoesAllTheWay(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s := newScene(t, 1, nil)
	for used, value := range map[int]string{7001: trace, 7002: strings.ToUpper(trace), 7003: ""} {
		body := fmt.Sprintf(`{"CallbackCommand":%q,"QuotaUsed":%d,"Quota":10000,"EventTime":"1670574414123"}`, schema.CommandQuotaAlarm, used)
		query := url.Values{"SdkAppid": {strconv.FormatInt(s.unsignedApp(), 10)}, "CallbackCommand": {schema.CommandQuotaAlarm}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.stack.GatewayURL()+"?"+query.Encode(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if value != "" {
			request.Header.Set("traceparent", value)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("traceparent %q: %s", value, response.Status)
		}
	}
	for _, topic := range []string{s.stack.Topics().AlarmsRaw, s.stack.Topics().Alarms} {
		s.eventually("three records of "+topic+", one with the trace", func() error {
			traces := map[string]int{}
			for _, r := range s.records(topic) {
				for _, h := range r.Headers {
					if h.Key == schema.AttributeTraceparent.Header() {
						traces[string(h.Value)+" of "+strconv.FormatBool(strings.Contains(string(r.Value), "7001"))]++
					}
				}
			}
			if n := len(s.records(topic)); n != 3 || len(traces) != 1 || traces[trace+" of true"] != 1 {
				return fmt.Errorf("%d records, traces %v", n, traces)
			}
			return nil
		})
	}
}
