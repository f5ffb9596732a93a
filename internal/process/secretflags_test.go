package process

import (
	"bytes"
	"strings"
	"testing"
)

// positions is a command line with flags that speak of secrets and hold none.
type positions struct {
	Run struct {
		RemoveToken string `name:"remove-token" help:"A position."`
		File        string `name:"kafka-sasl-password-file" help:"A file."`
	} `cmd:"" default:"withargs"`
}

func (p *positions) run(t *testing.T, args ...string) (status int, printed string) {
	t.Helper()
	parser, err := CommandLine{Name: "example"}.Parser(p, new(bytes.Buffer), new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if err := refuseSecrets(parser, args); err != nil {
		return ExitUsage, err.Error()
	}
	return ExitOK, ""
}

// TestSecretsAreNoFlags: whoever writes a token or password as a flag is told where it belongs,
// and it is not printed once more.
func TestSecretsAreNoFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--token=s3cret":                         "tokens: [\"file:PATH\"]",
		"--token s3cret":                         "tokens: [\"file:PATH\"]",
		"run --app-tokens=s3cret":                "tokens: [\"file:PATH\"]",
		"-token=s3cret":                          "tokens: [\"file:PATH\"]",
		"--Sign=s3cret":                          "tokens: [\"file:PATH\"]",
		"--kafka-sasl-password=s3cret":           "--kafka-sasl-password-file",
		"--kafka-sasl-passwd s3cret":             "--kafka-sasl-password-file",
		"--client-secret=s3cret":                 "write it into a file",
		"--credentials=s3cret":                   "write it into a file",
		"--said=postgres://u:s3cret@h/db":        "?password_file=FILE",
		"--said postgres://u:s3cret@h/db":        "?password_file=FILE",
		"--said=postgres://h/db?password=s3cret": "?password_file=FILE",
		"--size=2 --token=s3cret --colour":       "tokens: [\"file:PATH\"]",
		"fail --said --token s3cret unexpected":  "tokens: [\"file:PATH\"]",
	} {
		var out, errOut bytes.Buffer
		status := CommandLine{Name: "example"}.Execute(t.Context(), new(example), strings.Fields(args), &out, &errOut)
		printed := out.String() + errOut.String()
		if status != ExitUsage || !strings.HasPrefix(printed, "example: secrets are not given as flags") || !strings.Contains(printed, want) {
			t.Errorf("%s: status %d\n%s", args, status, printed)
		}
		if strings.Contains(printed, "s3cret") {
			t.Errorf("%s: it was printed:\n%s", args, printed)
		}
	}
	for _, args := range []string{"--remove-token=1", "run --remove-token 1", "--kafka-sasl-password-file=f", "--kafka-sasl-password-file=postgres://u@h/db?password_file=f", "-- --token=x", "--unsigned", "--size=2", ""} {
		if status, printed := new(positions).run(t, strings.Fields(args)...); status != ExitOK {
			t.Errorf("%s: %s", args, printed)
		}
	}
}
