package acceptance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// alarmWith is the vendor's example with its fields replaced by text.
func alarmWith(fields string) string {
	return `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm",` + fields + `}`
}

// Bodies are not the gateway's business: every one is answered 200, kept as it is, and
// refused by the consumer with its reason.
func TestBadBodiesBecomeDeadLetters(t *testing.T) {
	const good = `"QuotaUsed":7321,"Quota":10000,"EventTime":"1670574414123"`
	cases := []struct {
		name   string
		body   string
		reason schema.Reason
		says   string // part of the message
	}{
		{"not JSON", `QuotaUsed=7321&Quota=10000`, schema.ReasonBadJSON, ""},
		{"the documented sample with its comments", "{\n    \"CallbackCommand\": \"Group.CallbackOnDailyGroupQuotaAlarm\", // callback command\n    \"QuotaUsed\": 7321, // groups created today\n    \"Quota\": 10000,\n    \"EventTime\":\"1670574414123\" // milliseconds\n}", schema.ReasonBadJSON, "comments are not JSON"},
		{"truncated", vendorString[:len(vendorString)-9], schema.ReasonBadJSON, ""},
		{"an array", `[` + vendorString + `]`, schema.ReasonBadJSON, ""},
		{"null", `null`, schema.ReasonBadJSON, ""},
		{"a number", `7321`, schema.ReasonBadJSON, ""},
		{"white space only", "  \n", schema.ReasonBadJSON, ""},
		{"QuotaUsed as a string", alarmWith(`"QuotaUsed":"7321","Quota":10000`), schema.ReasonBadField, "QuotaUsed"},
		{"Quota as a string", alarmWith(`"QuotaUsed":7321,"Quota":"10000"`), schema.ReasonBadField, "Quota"},
		{"negative", alarmWith(`"QuotaUsed":-1,"Quota":10000`), schema.ReasonBadField, "QuotaUsed"},
		{"fractional", alarmWith(`"QuotaUsed":7321.5,"Quota":10000`), schema.ReasonBadField, "QuotaUsed"},
		{"overflowing", alarmWith(`"QuotaUsed":9223372036854775808,"Quota":10000`), schema.ReasonBadField, "QuotaUsed"},
		{"Quota 0", alarmWith(`"QuotaUsed":1,"Quota":0`), schema.ReasonBadField, "Quota"},
		{"Quota missing", alarmWith(`"QuotaUsed":7321`), schema.ReasonBadField, "Quota"},
		{"QuotaUsed missing", alarmWith(`"Quota":10000`), schema.ReasonBadField, "QuotaUsed"},
		{"QuotaUsed null", alarmWith(`"QuotaUsed":null,"Quota":10000`), schema.ReasonBadField, "QuotaUsed"},
		{"EventTime fractional", alarmWith(`"QuotaUsed":1,"Quota":2,"EventTime":1670574414123.5`), schema.ReasonBadField, "EventTime"},
		{"EventTime with a sign", alarmWith(`"QuotaUsed":1,"Quota":2,"EventTime":"+1670574414123"`), schema.ReasonBadField, "EventTime"},
		{"EventTime with an exponent", alarmWith(`"QuotaUsed":1,"Quota":2,"EventTime":1.6e12`), schema.ReasonBadField, "EventTime"},
		{"EventTime in seconds", alarmWith(`"QuotaUsed":1,"Quota":2,"EventTime":1670574414`), schema.ReasonBadField, "EventTime"},
		{"a key twice", alarmWith(good + `,"Quota":20000`), schema.ReasonDuplicateKey, "Quota"},
		{"a key twice, once escaped", alarmWith(good + `,"\u0051uota":20000`), schema.ReasonDuplicateKey, ""},
		{"invalid UTF-8", alarmWith(good + ",\"X\":\"\xff\xfe\""), schema.ReasonBadUTF8, ""},
		{"a BOM", "\xef\xbb\xbf" + vendorString, schema.ReasonBadJSON, ""},
		{"a NUL", vendorString + "\x00", schema.ReasonBadJSON, ""},
		{"trailing bytes", vendorString + "{}", schema.ReasonBadJSON, ""},
		{"10,000 deep", alarmWith(good + `,"X":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), schema.ReasonTooLarge, ""},
		{"another command in the body", strings.Replace(vendorString, "OnDailyGroupQuotaAlarm", "AfterCreateGroup", 1), schema.ReasonCommandMismatch, ""},
		{"no command in the body", `{"QuotaUsed":7321,"Quota":10000}`, schema.ReasonBadField, "CallbackCommand"},
	}
	s := newScene(t, 1, nil)
	for _, test := range cases {
		if got, want := s.post(s.unsignedApp(), schema.CommandQuotaAlarm, []byte(test.body)), (answer{200, okAnswer}); got != want {
			t.Errorf("%s: answer %+v, want %+v", test.name, got, want)
		}
	}
	var letters []schema.Record
	s.eventually("all dead letters", func() error {
		if letters = s.records(s.stack.Topics().AlarmsDLQ); len(letters) < len(cases) {
			return fmt.Errorf("%d of %d", len(letters), len(cases))
		}
		return nil
	})
	raw := s.records(s.stack.Topics().AlarmsRaw)
	if len(letters) != len(cases) || len(raw) != len(cases) {
		t.Fatalf("%d dead letters and %d raw records of %d bodies", len(letters), len(raw), len(cases))
	}
	for i, test := range cases { // one app, one partition: in the order in which they were sent
		letter := &letters[i]
		if err := unchanged(&raw[i], letter); err != nil || string(letter.Value) != test.body {
			t.Errorf("%s: %v", test.name, err)
		}
		reason, _ := letter.Header(schema.HeaderDeadReason)
		message, _ := letter.Header(schema.HeaderDeadMessage)
		if schema.Reason(reason) != test.reason || !strings.Contains(string(message), test.says) {
			t.Errorf("%s: reason %s (%s), want %s with %q", test.name, reason, message, test.reason, test.says)
		}
	}
	if rows := s.rows(0); len(rows) != 0 {
		t.Errorf("rows of bad bodies: %+v", rows)
	}
}

func TestLegalBodiesBecomeRows(t *testing.T) {
	s := newScene(t, 1, nil)
	bodies := []string{ // EventTime in each form; over the cap; unknown fields; white space
		alarmWith(`"QuotaUsed":7001,"Quota":10000,"EventTime":1670574414123`),
		alarmWith(`"QuotaUsed":7002,"Quota":10000,"EventTime":"1670574414123"`),
		alarmWith(`"QuotaUsed":7003,"Quota":10000`),
		alarmWith(`"QuotaUsed":10004,"Quota":10000,"EventTime":"1670574414123"`),
		alarmWith(`"QuotaUsed":7005,"Quota":10000,"EventTime":"1670574414123","New":{"a":[1,2,{"b":null}]},"Text":"\u00e9\n"`),
		"\n\t {  \"CallbackCommand\" :\r\n\"Group.CallbackOnDailyGroupQuotaAlarm\" , \"QuotaUsed\" : 7006 , \"Quota\" : 10000 } \n",
	}
	for _, body := range bodies {
		if got := s.post(s.unsignedApp(), schema.CommandQuotaAlarm, []byte(body)); got.status != 200 {
			t.Errorf("%s: %+v", body, got)
		}
	}
	s.eventually("a row for each", func() error {
		if rows := s.rows(s.unsignedApp()); len(rows) != len(bodies) {
			return fmt.Errorf("%d rows of %d", len(rows), len(bodies))
		}
		return nil
	})
}

// callbackTo is a request line with a legal query for app, in origin form.
func callbackTo(app int64) string {
	return "/?SdkAppid=" + strconv.FormatInt(app, 10) + "&CallbackCommand=" + schema.CommandQuotaAlarm
}

// At the socket: what a library would never send, or seldom. Nothing crashes, hangs or is
// accepted by accident.
func TestAtTheSocket(t *testing.T) {
	s := newScene(t, 1, nil)
	app := s.unsignedApp()
	used := 0
	// body makes a new alarm each time, so that what was accepted can be counted as rows.
	body := func() string {
		used++
		return alarmWith(fmt.Sprintf(`"QuotaUsed":%d,"Quota":10000,"EventTime":"1670574414123"`, 7000+used))
	}
	request := func(target, version, headers, body string) string {
		return "POST " + target + " " + version + "\r\nHost: gateway\r\n" + headers + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	chunked := func(b string) string {
		return fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 10, b[:10], len(b)-10, b[10:])
	}
	target := callbackTo(app)
	accepted := 0
	for _, test := range []struct {
		name   string
		send   string
		status []int // of the answers, in order
	}{
		{"plain", request(target, "HTTP/1.1", "", body()), []int{200}},
		{"two SdkAppid parameters", request(target+"&SdkAppid="+strconv.FormatInt(s.apps[0], 10), "HTTP/1.1", "", body()), []int{400}},
		{"two commands", request(target+"&CallbackCommand=State.StateChange", "HTTP/1.1", "", body()), []int{400}},
		{"no SdkAppid", request("/?CallbackCommand="+schema.CommandQuotaAlarm, "HTTP/1.1", "", body()), []int{400}},
		{"SdkAppid is no number", request("/?SdkAppid=12x&CallbackCommand="+schema.CommandQuotaAlarm, "HTTP/1.1", "", body()), []int{400}},
		{"an escaped NUL in the query", request(target+"&ClientIP=%00", "HTTP/1.1", "", body()), []int{400}},
		{"invalid UTF-8 in the query", request(target+"&ClientIP=%ff", "HTTP/1.1", "", body()), []int{400}},
		{"HTTP/1.0", request(target, "HTTP/1.0", "", body()), []int{200}},
		{"chunked", "POST " + target + " HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body()), []int{200}},
		{"pipelined", request(target, "HTTP/1.1", "", body()) + request(target, "HTTP/1.1", "", body()) + request(target, "HTTP/1.1", "", body()), []int{200, 200, 200}},
		{"GET", "GET " + target + " HTTP/1.1\r\nHost: g\r\n\r\n", []int{405}},
		{"empty body", request(target, "HTTP/1.1", "", ""), []int{400}},
		{"body too large", request(target, "HTTP/1.1", "", strings.Repeat(" ", 262145)), []int{413}},
		{"header too large", request(target, "HTTP/1.1", "X: "+strings.Repeat("x", 100_000)+"\r\n", body()), []int{431}},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := exchange(t, s, test.send, len(test.status))
			for i, want := range test.status {
				if want == 200 {
					accepted++
				}
				if i >= len(got) || got[i].StatusCode != want {
					t.Fatalf("answers %v, want %v", got, test.status)
				}
			}
		})
	}
	t.Run("Expect: 100-continue", func(t *testing.T) {
		b := body()
		conn := dial(t, s)
		write(t, conn, "POST "+target+" HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: "+strconv.Itoa(len(b))+"\r\n\r\n")
		reader := bufio.NewReader(conn)
		if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
			t.Fatalf("%q, %v, want 100 Continue", line, err)
		}
		if _, err := reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		write(t, conn, b)
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%v, %v", response, err)
		}
		response.Body.Close()
		accepted++
	})
	t.Run("half a request and a hang-up", func(t *testing.T) {
		whole := request(target, "HTTP/1.1", "", body())
		conn := dial(t, s)
		write(t, conn, whole[:len(whole)-10])
		conn.Close()
	})
	s.eventually("a row for each that was accepted", func() error {
		if rows := s.rows(app); len(rows) != accepted {
			return fmt.Errorf("%d rows, %d were accepted", len(rows), accepted)
		}
		return nil
	})
	if raw := s.records(s.stack.Topics().AlarmsRaw); len(raw) != accepted {
		t.Errorf("%d raw records, %d were accepted", len(raw), accepted)
	}
}

// Half a request and silence holds nobody up, and is ended by the gateway.
func TestSilentConnectionsHoldNobodyUp(t *testing.T) {
	s := newScene(t, 1, nil)
	var silent []net.Conn
	for i := range 50 {
		conn := dial(t, s)
		write(t, conn, ("POST " + callbackTo(s.unsignedApp()) + " HTTP/1.1\r\nHost: g\r\nContent-Length: 500\r\n\r\n{")[:40+i])
		silent = append(silent, conn)
	}
	began := time.Now()
	if got := s.post(s.unsignedApp(), schema.CommandQuotaAlarm, []byte(vendorString)); got.status != 200 || time.Since(began) > 2*time.Second {
		t.Errorf("answer %+v after %s", got, time.Since(began))
	}
	for _, conn := range silent {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(conn)
		if err != nil {
			t.Fatalf("a silent connection was not ended: %v", err)
		}
		if len(text) > 0 && !bytes.Contains(text, []byte(`"ActionStatus":"FAIL"`)) {
			t.Errorf("said %q", text)
		}
	}
}

func dial(t *testing.T, s *scene) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(s.stack.GatewayURL(), "http:"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// exchange sends text over a connection of its own and reads up to n answers, each of which
// must be JSON with the envelope.
func exchange(t *testing.T, s *scene, text string, n int) []*http.Response {
	t.Helper()
	conn := dial(t, s)
	written := make(chan struct{})
	go func() { // what is refused early need not be read to its end
		defer close(written)
		io.WriteString(conn, text)
	}()
	defer func() { conn.Close(); <-written }()
	reader := bufio.NewReader(conn)
	var answers []*http.Response
	for range n {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("after %d answers: %v", len(answers), err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("body: %v", err)
		}
		response.Body.Close()
		want := `{"ActionStatus":"FAIL"`
		if response.StatusCode == 200 {
			want = okAnswer
		}
		if !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: body %q", response.Status, body)
		}
		answers = append(answers, response)
	}
	return answers
}
