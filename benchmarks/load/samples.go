package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// appsCommand writes an apps file with sample apps.
type appsCommand struct {
	AppsFile  string  `required:"" placeholder:"FILE" help:"Where to write it; an existing file is not replaced."`
	AppCount  int     `default:"64" placeholder:"N" help:"How many apps (default ${default})."`
	PerSecond float64 `default:"100000" help:"Rate limit of each app in callbacks a second, of quota alarms and of the others, so that load meets the gateway and not its limits (default ${default})."`
}

// Run writes the file.
func (c *appsCommand) Run(_ context.Context, out io.Writer) error {
	if c.AppCount < 1 || c.PerSecond <= 0 {
		return fmt.Errorf("--app-count and --per-second must be positive")
	}
	file, err := os.OpenFile(c.AppsFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--apps-file: %w", err)
	}
	_, err = file.WriteString(sampleApps(c.AppCount, c.PerSecond))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("--apps-file: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s: %d sample apps, %d to %d\n", c.AppsFile, c.AppCount, firstSampleApp, firstSampleApp+c.AppCount-1)
	return err
}

// sampleApps is the text of an apps file with count signed apps.
func sampleApps(count int, perSecond float64) string {
	var text strings.Builder
	text.WriteString("# Sample apps for trying out and for load: their tokens are no secrets.\n")
	limit := fmt.Sprintf("{per_second: %s, burst: %d}", strconv.FormatFloat(perSecond, 'f', -1, 64), max(1, int(perSecond)))
	fmt.Fprintf(&text, "defaults: {rate_limit: %s, alarm_rate_limit: %s}\napps:\n", limit, limit)
	for i := range int64(count) {
		id := firstSampleApp + i
		fmt.Fprintf(&text, "  - {sdk_app_id: %d, name: Sample %d, owner: team-%d, tokens: [\"plain:%s\"]}\n", id, i+1, i%8+1, sampleToken(id))
	}
	return text.String()
}
