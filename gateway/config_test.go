package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
)

// parse returns the settings of a command line, as kong leaves them.
func parse(t *testing.T, args ...string) (*commands, error) {
	t.Helper()
	var cli commands
	parser, err := commandLine.Parser(&cli, new(bytes.Buffer), new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &cli, err
}

func TestDefaults(t *testing.T) {
	cli, err := parse(t, "--apps", "apps.yaml", "--brokers", "a:1,b:2")
	if err != nil {
		t.Fatal(err)
	}
	s := cli.Run.settings
	if err := s.complete(); err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	for name, row := range map[string]struct{ got, want any }{
		"listen":              {s.Listen, ":8080"},
		"path":                {s.Path, ""},
		"admin-listen":        {s.AdminListen, "127.0.0.1:9180"},
		"apps":                {s.Apps, "apps.yaml"},
		"routes":              {s.Routes, ""},
		"journal-dir":         {s.JournalDir, "data/journal"},
		"parked":              {s.parkedDir(), filepath.Join("data", "journal", "parked")},
		"journal-max-bytes":   {s.JournalMaxBytes, size(0)},
		"journal-retain":      {s.JournalRetain, 10 * time.Minute},
		"max-connections":     {s.MaxConnections, 16384},
		"max-waiting-bytes":   {s.MaxWaitingBytes, size(256 << 20)},
		"parked-max-bytes":    {s.ParkedMaxBytes, size(1 << 30)},
		"gateway-name":        {s.GatewayName, host},
		"unknown-apps":        {s.UnknownApps, "refuse"},
		"ack":                 {s.Ack, journal.Disk},
		"ack-deadline":        {s.AckDeadline, 1500 * time.Millisecond},
		"request-time-window": {s.RequestTimeWindow, 300 * time.Second},
		"max-body-bytes":      {s.MaxBodyBytes, size(262144)},
		"drain-timeout":       {s.DrainTimeout, 20 * time.Second},
		"shutdown-delay":      {s.ShutdownDelay, time.Duration(0)},
		"brokers":             {strings.Join(s.Kafka.Brokers, "|"), "a:1|b:2"},
		"topic-prefix":        {s.Kafka.TopicPrefix, ""},
		"kafka-tls":           {s.Kafka.TLS, false},
		"log-level":           {s.Logs.Level, "info"},
		"log-format":          {s.Logs.Format, "json"},
	} {
		if row.got != row.want {
			t.Errorf("%s is %v, want %v", name, row.got, row.want)
		}
	}
	if errs := s.wrong(true); errs != nil {
		t.Errorf("the defaults are refused: %v", errs)
	}
}

func TestEnvironmentIsBelowFlags(t *testing.T) {
	t.Setenv("TIDEGATE_GATEWAY_LISTEN", ":1")
	t.Setenv("TIDEGATE_GATEWAY_JOURNAL_MAX_BYTES", "20GiB")
	t.Setenv("TIDEGATE_GATEWAY_KAFKA_SASL_USER", "im")
	t.Setenv("TIDEGATE_GATEWAY_ACK", "memory")
	t.Setenv("TIDEGATE_GATEWAY_APPS", "env.yaml")
	cli, err := parse(t, "--listen", ":2")
	if err != nil {
		t.Fatal(err)
	}
	s := cli.Run.settings
	if s.Listen != ":2" || s.JournalMaxBytes != 20<<30 || s.Kafka.SASLUser != "im" || s.Ack != journal.Memory || s.Apps != "env.yaml" {
		t.Errorf("%+v", s)
	}
}

// TestNotUnderstood is the command lines that end with exit status 2 and one line.
func TestNotUnderstood(t *testing.T) {
	for name, row := range map[string]struct {
		args string
		want string // a part of the line
	}{
		"no apps file":        {"--brokers a:1", "missing flags: --apps=FILE"},
		"unknown flag":        {"--apps a --brokes a:1", `unknown flag --brokes, did you mean "--brokers"?`},
		"unknown command":     {"--apps a chekc", "unexpected argument chekc"},
		"ack level":           {"--apps a --ack tape", "--ack"},
		"unknown-apps":        {"--apps a --unknown-apps maybe", `--unknown-apps must be one of "refuse","accept" but got "maybe"`},
		"duration":            {"--apps a --ack-deadline fast", `--ack-deadline: expected duration but got "fast"`},
		"bytes":               {"--apps a --journal-max-bytes 20XB", "--journal-max-bytes: want a number of bytes, such as 262144, 512MiB or 64GiB"},
		"log format":          {"--apps a --log-format xml", `--log-format must be one of "json","console" but got "xml"`},
		"sasl mechanism":      {"--apps a --kafka-sasl gssapi", `--kafka-sasl must be one of "","plain","scram-sha-256","scram-sha-512" but got "gssapi"`},
		"not of this command": {"drain --listen :1", "unknown flag --listen"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if status := execute(t.Context(), strings.Fields(row.args), &out, &errOut); status != process.ExitUsage {
				t.Errorf("exit status %d", status)
			}
			if got := errOut.String(); !strings.HasPrefix(got, "gateway: ") || !strings.Contains(got, row.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("got %q, want %q in one line", got, row.want)
			}
		})
	}
}

func TestWrongSettings(t *testing.T) {
	for name, row := range map[string]struct {
		args string
		want string
	}{
		"listen":               {"--listen 8080", `--listen: want HOST:PORT or :PORT, have "8080"`},
		"listen, no number":    {"--listen :http", `--listen: want HOST:PORT or :PORT, have ":http"`},
		"admin":                {"--admin-listen nowhere", `--admin-listen: want HOST:PORT or :PORT, have "nowhere"`},
		"path, no slash":       {"--path im", `--path: want a path such as /im, without ? & ! $ # % and blanks, have "im"`},
		"path, vendor's chars": {"--path /im?x=1", `--path: want a path such as /im, without ? & ! $ # % and blanks, have "/im?x=1"`},
		"journal too small":    {"--journal-max-bytes 1MiB", "--journal-max-bytes: want 0 or at least 2624KiB, have 1MiB"},
		"no connections":       {"--max-connections 0", "--max-connections: want 1 or more, have 0"},
		"parked too small":     {"--parked-max-bytes 0", "--parked-max-bytes: want at least 15776KiB, have 0"},
		"retain":               {"--journal-retain=-1s", "--journal-retain: want 0s or more, have -1s"},
		"ack deadline":         {"--ack-deadline 0s", "--ack-deadline: want more than 0s, have 0s"},
		"window":               {"--request-time-window=-1s", "--request-time-window: want more than 0s, have -1s"},
		"body too large":       {"--max-body-bytes 2MiB", "--max-body-bytes: want 1 to 1945600, have 2097152"},
		"body of nothing":      {"--max-body-bytes 0", "--max-body-bytes: want 1 to 1945600, have 0"},
		"shutdown delay":       {"--shutdown-delay=-1s", "--shutdown-delay: want 0s or more, have -1s"},
		"drain timeout":        {"--drain-timeout=-1s", "--drain-timeout: want 0s or more, have -1s"},
		"topic prefix":         {"--topic-prefix a/b", `--topic-prefix: want up to 200 letters, digits, dots, dashes and underscores, have "a/b"`},
		"gateway name":         {"--gateway-name=\x01", `--gateway-name: want 1 to 255 bytes of printable text, have "\x01"`},
		"sasl in clear":        {"--kafka-sasl plain --kafka-sasl-user a --kafka-sasl-password-file f", "sasl without tls sends credentials in clear: add --kafka-tls, or --kafka-sasl-plaintext to permit it"},
		"all at once":          {"--listen x --ack-deadline 0s", "--listen: want HOST:PORT or :PORT, have \"x\"\n--ack-deadline: want more than 0s, have 0s"},
		"good":                 {"--path /im/a --journal-max-bytes 20GiB --listen [::1]:80 --topic-prefix test.", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cli, err := parse(t, append([]string{"--apps=a", "--brokers=a:1", "--gateway-name=g"}, strings.Fields(row.args)...)...)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, err := range cli.Run.wrong(true) {
				lines = append(lines, err.Error())
			}
			if got := strings.Join(lines, "\n"); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestNoBrokers(t *testing.T) {
	cli, err := parse(t, "--apps=a", "--gateway-name=g")
	if err != nil {
		t.Fatal(err)
	}
	if errs := cli.Run.wrong(true); len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "no brokers: set --brokers") {
		t.Errorf("errors %v", errs)
	}
	if errs := cli.Run.wrong(false); errs != nil {
		t.Errorf("offline: errors %v", errs)
	}
}

// TestHelpIsTheReference: every flag says its environment variable, and every one that has a
// default says it.
func TestHelpIsTheReference(t *testing.T) {
	var out, errOut bytes.Buffer
	if status := execute(t.Context(), []string{"-h"}, &out, &errOut); status != process.ExitOK || errOut.Len() > 0 {
		t.Fatalf("exit status %d, %s", status, errOut.String())
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, flag := range []string{
		"--listen=HOST:PORT", "--path=PATH", "--admin-listen=HOST:PORT", "--brokers=HOST:PORT", "--apps=FILE", "--routes=FILE",
		"--journal-dir=DIR", "--journal-max-bytes=BYTES", "--journal-retain=DURATION", "--gateway-name=NAME", "--unknown-apps=WHAT", "--ack=LEVEL",
		"--ack-deadline=DURATION", "--request-time-window=DURATION", "--max-body-bytes=BYTES", "--drain-timeout=DURATION",
		"--topic-prefix", "--kafka-tls", "--kafka-tls-ca=FILE", "--kafka-tls-cert=FILE", "--kafka-tls-key=FILE", "--kafka-sasl=MECHANISM",
		"--kafka-sasl-user=NAME", "--kafka-sasl-password-file=FILE", "--log-level=LEVEL", "--log-format=FORMAT",
	} {
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		env := "[$TIDEGATE_GATEWAY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "]"
		if !strings.Contains(text, flag) || !strings.Contains(text, env) {
			t.Errorf("%s or %s is not in the help", flag, env)
		}
	}
	for _, part := range []string{"[default: :8080]", "[default: 262144]", "[default: 1.5s]", "check --apps=FILE [flags]", "drain [flags]", "journal stat", "journal verify", "journal skip --lsn=LSN --to-file=FILE", "journal replay [flags]"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in the help", part)
		}
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if status := execute(t.Context(), []string{"--version"}, &out, &out); status != process.ExitOK || !strings.HasPrefix(out.String(), "gateway ") {
		t.Errorf("exit status %d, %q", status, out.String())
	}
}

func TestSize(t *testing.T) {
	for name, row := range map[string]struct {
		in   string
		want int64
		back string
	}{
		"bytes":     {"262144", 256 << 10, "256KiB"},
		"odd bytes": {"1000", 1000, "1000"},
		"none":      {"0", 0, "0"},
		"kibi":      {"4KiB", 4 << 10, "4KiB"},
		"mebi":      {"512MiB", 512 << 20, "512MiB"},
		"a blank":   {"20 GiB", 20 << 30, "20GiB"},
		"tebi":      {"2TiB", 2 << 40, "2TiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var s size
			if err := s.UnmarshalText([]byte(row.in)); err != nil || int64(s) != row.want || s.String() != row.back {
				t.Errorf("%d, written %s, error %v", int64(s), s, err)
			}
		})
	}
	for _, in := range []string{"", "-1", "1.5GiB", "GiB", "1GB", "9000000TiB", "1e9", "0x10"} {
		if err := new(size).UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

func TestAbout(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 64 << 30: "64.0 GiB", 3 << 50: "3072.0 TiB"} {
		if got := about(n); got != want {
			t.Errorf("about(%d) is %s, want %s", n, got, want)
		}
	}
}
