package process

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// example is a command line like that of the binaries.
type example struct {
	Version kong.VersionFlag `name:"version" env:"-"`

	Run  exampleRun  `cmd:"" default:"withargs" help:"The default."`
	Fail exampleFail `cmd:"" help:"Fails."`
}

type exampleRun struct {
	Size int  `name:"size" default:"7" help:"A size."`
	Once bool `name:"once" env:"-" help:"What one call does."`
}

func (c *exampleRun) Run(con *Console) error {
	if con.Context.Err() != nil {
		return con.Context.Err()
	}
	_, err := strings.NewReader(strings.Repeat("x", c.Size)).WriteTo(con.Stdout)
	return err
}

type exampleFail struct {
	Said bool `name:"said" env:"-" help:"Everything was said."`
}

func (c *exampleFail) Run(con *Console) error {
	if c.Said {
		_, err := con.Stdout.Write([]byte("said"))
		return errors.Join(err, ErrFound)
	}
	return errors.New("first\nsecond")
}

func TestExecute(t *testing.T) {
	for name, row := range map[string]struct {
		args, size  string // size: of the environment
		status      int
		out, errOut string // parts; errOut empty: none
	}{
		"default":                  {"", "", ExitOK, "xxxxxxx", ""},
		"the environment":          {"", "2", ExitOK, "xx", ""},
		"a flag before it":         {"--size=3", "2", ExitOK, "xxx", ""},
		"an error, line by line":   {"fail", "", ExitFailed, "", "example: first\nexample: second\n"},
		"an error that was said":   {"fail --said", "", ExitFailed, "said", ""},
		"a flag that is not known": {"--colour", "", ExitUsage, "", "example: unknown flag --colour (example -h lists the flags)\n"},
		"help of all":              {"-h", "", ExitOK, "A size. [default: 7] [$EXAMPLE_SIZE]", ""},
		"help names no variable":   {"-h", "", ExitOK, "What one call does.\n", ""},
		"help of one":              {"fail -h", "", ExitOK, "Everything was said.", ""},
		"version":                  {"--version", "", ExitOK, "example " + Version(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if row.size != "" {
				t.Setenv("EXAMPLE_SIZE", row.size)
			}
			var out, errOut bytes.Buffer
			c := CommandLine{Name: "example", Description: "Is an example.", EnvPrefix: "EXAMPLE"}
			status := c.Execute(t.Context(), new(example), strings.Fields(row.args), &out, &errOut)
			if status != row.status || !strings.Contains(out.String(), row.out) || errOut.String() != row.errOut {
				t.Errorf("status %d\n%s\n%s\nwant %d\n%s\n%s", status, &out, &errOut, row.status, row.out, row.errOut)
			}
		})
	}
}

// TestExecutePassesItsContext: a command can be told to end.
func TestExecutePassesItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut bytes.Buffer
	if status := (CommandLine{Name: "example"}).Execute(ctx, new(example), nil, &out, &errOut); status != ExitFailed || out.Len() > 0 {
		t.Errorf("status %d, printed %q", status, &out)
	}
}

// TestExecuteTellsAMistakeOfOurs: a command line that kong refuses is a bug, and no panic.
func TestExecuteTellsAMistakeOfOurs(t *testing.T) {
	var errOut bytes.Buffer
	type twice struct {
		A string `name:"same"`
		B string `name:"same"`
	}
	if status := (CommandLine{Name: "example"}).Execute(t.Context(), new(twice), nil, &errOut, &errOut); status != ExitUsage || !strings.HasPrefix(errOut.String(), "example: BUG in the command line: ") {
		t.Errorf("status %d, %s", status, &errOut)
	}
}
